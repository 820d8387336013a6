//! The command line of Vault, over its HTTP API.
