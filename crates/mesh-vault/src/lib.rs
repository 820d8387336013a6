//! Secrets behind HashiCorp Vault's HTTP API.
//!
//! A request comes in over [`http`], is authenticated and judged by [`core`], and reaches one engine
//! ([`logical::Engine`]): a function from a request and what is stored to an answer and what is to be
//! written. The core commits what an engine wrote, together with the lease and the token use that
//! belong to it, in one batch; the answer leaves only once the batch is on disk.
//!
//! ```text
//! http ──► core ──► policy            may this token do that?
//!            │
//!            ├────► engine::*, auth::*  (request, transaction) -> response
//!            │
//!            └────► barrier ──► storage one encrypted, durable batch
//! ```
//!
//! Deliberately absent: namespaces, replication, high availability and plugins.

mod audit;
pub mod auth;
pub mod barrier;
pub mod config;
pub mod core;
pub mod engine;
mod guide;
pub mod hcl;
pub mod http;
mod lease;
pub mod logical;
mod metrics;
mod moment;
pub mod policy;
pub mod process;
mod rest;
pub mod seal;
pub mod server;
pub mod storage;
pub mod system;
mod token;
mod ui;
mod wrap;
