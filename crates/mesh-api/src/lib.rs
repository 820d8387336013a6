//! The control API of a project's supervisor: types, server and client.
//!
//! One unix socket a project, mode 0600, its owner only. A connection carries one request: a line of
//! JSON from the client, then lines of JSON from the server ([`message::Message`]), the last of which
//! is an answer or an error. `run` also passes three descriptors with its request. Wire types live
//! here and are converted at the border; the model itself travels as it is.

pub mod at_once;
pub mod client;
mod frame;
pub mod handler;
pub mod message;
pub mod options;
pub mod request;
pub mod server;
pub mod status;
mod tagged;
