//! Command lines against a server of the tests.
