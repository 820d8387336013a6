//! Routing to services, configured as Traefik's third version is.
//!
//! ```text
//! flags, file, environment ──► config::statics ──► proxy: entry points
//! files, labels            ──► config::model ──► snapshot ──► proxy: rule ──► middlewares ──► upstream: server
//! ```
//!
//! What is told becomes an immutable [`snapshot`]; a request sees one of them from its beginning to its end. A broken
//! configuration never takes the place of a sound one.
//!
//! Deliberately absent: docker.sock (the engine hands over what containers ask for), ACME, HTTP/3, plugins.

mod api;
mod certificates;
pub mod check;
mod clock;
mod handshake;
mod http1;
pub mod log;
mod middleware;
mod names;
mod observe;
pub mod process;
mod proxy;
mod published;
mod rewound;
mod rule;
pub mod server;
mod snapshot;
mod turn;
mod upstream;
mod watch;

#[cfg(test)]
mod suite;

use mesh_gateway_config as config;
use mesh_gateway_config::chain;
