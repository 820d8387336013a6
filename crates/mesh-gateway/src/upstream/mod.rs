//! Servers: connections to them, what they speak, and whether they are well.
//!
//! A [`Line`] leads to one server in one way of speaking; the [`Pool`] has all of them, across configurations. Nothing
//! of a request is decided here.
//!
//! Deliberately absent: HTTP/3, proxies on the way to servers, workload identities (SPIFFE).

mod body;
mod dial;
mod first;
mod health;
mod line;
mod pool;
mod spool;
mod tcp_health;
mod transport;
mod waiting;

#[cfg(test)]
mod suite;

pub(crate) use body::{Body, BodyError};
pub(crate) use dial::{Scheme, keep_alive, reach};
pub(crate) use first::Switched;
pub(crate) use health::{Check, Checker, Health, Passive, ServerState};
pub(crate) use line::{Line, SendError, headed};
pub(crate) use pool::Pool;
pub(crate) use spool::{Spool, SpoolError};
pub(crate) use tcp_health::{TcpCheck, TcpChecker};
pub(crate) use transport::{Transport, TransportError, limit_suites, versions};
