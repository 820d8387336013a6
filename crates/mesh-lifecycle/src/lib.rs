//! The state machines of one container: start, health, restart and stop, as pure functions.
//!
//! Invariants: only [`phase::step`] changes a phase, and it reads neither clock nor system: time comes
//! in as `now`, and what is to be done goes out as [`phase::Effect`]s that the caller carries out and
//! answers with further events. Health that is not known is not healthy. A container that a command
//! stopped is not started by a restart policy.
//! What deliberately is not here: conditions between services need only the phases of the other
//! containers ([`condition`]); which containers there are is decided elsewhere.

pub mod condition;
pub mod health;
pub mod phase;
pub mod restart;
