//! Secrets engines: what can be mounted beside `auth/` and `sys/`.

pub mod cubbyhole;
pub mod kv;
mod kv1;
mod kv2;
pub(crate) mod listing;
pub mod pki;
#[cfg(test)]
pub(crate) mod testing;
