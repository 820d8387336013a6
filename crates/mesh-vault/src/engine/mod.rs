//! Secrets engines: what can be mounted beside `auth/` and `sys/`.

pub mod cubbyhole;
pub mod kv;
pub mod pki;
mod kv1;
mod kv2;
pub(crate) mod listing;
#[cfg(test)]
pub(crate) mod testing;
