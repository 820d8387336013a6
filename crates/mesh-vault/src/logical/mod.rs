//! What crosses the border between the core and an engine.
//!
//! An engine decides and does not act: it reads through a [`Transaction`](crate::storage::Transaction), and
//! what it writes there is committed by the core after it has returned. So an engine is a plain function that
//! a table of cases can test, and a request is written whole or not at all.

mod engine;
mod fields;
mod refusal;
mod request;
mod response;

pub use engine::{Context, Engine, SpecialPaths, Turn, Weight};
pub use fields::{FieldError, Fields, parse_duration};
pub use refusal::Refusal;
pub use request::{Operation, Request, TokenFacts};
pub use response::{Auth, Lease, Raw, Response, TokenKind};

/// A JSON object in the order of its keys' arrival.
pub type Object = serde_json::Map<String, serde_json::Value>;
