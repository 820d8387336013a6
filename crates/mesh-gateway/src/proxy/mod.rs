//! From connections to answers: listeners, requests on their way, and connections to servers.
//!
//! Whatever was true of a request when it came in stays true for it: it is held against one snapshot. What is between
//! two hops stays there ([`hop`]); what a client says of itself is believed only where the configuration says so
//! ([`forwarded`]); a path is normalised before any rule sees it ([`normal`]).

mod announced;
mod answer;
mod around;
mod call;
mod datagram;
mod deliver;
mod endings;
mod entry;
mod forwarded;
mod handler;
mod hop;
mod lasting;
mod looked;
mod normal;
mod own;
mod pass;
mod plain;
mod relayed;
mod shape;
mod shortage;
mod tcp;
mod tunnel;
mod udp;
mod unwanted;
mod uploaded;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

pub(crate) use announced::preamble;
pub(crate) use entry::{BindError, Entry};
pub(crate) use handler::Site;
pub(crate) use relayed::{Relays, RelaysError};
pub(crate) use udp::UdpEntry;
