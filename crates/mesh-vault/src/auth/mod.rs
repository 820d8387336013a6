//! Auth methods: what can be mounted under `auth/`.

pub mod approle;
mod cidr;
mod identifier;
mod lockout;
mod token_parameters;
pub mod userpass;
