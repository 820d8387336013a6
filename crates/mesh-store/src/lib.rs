//! The state of projects on disk: where it lives ([`home`]), what is kept ([`record`]), and who may
//! change it ([`lock`]); the secrets that nobody wrote down ([`secrets`]), and volumes that are put aside
//! ([`aside`]).
//!
//! Invariants: every directory made here has mode 0700 and every file 0600; a record is replaced as a
//! whole or not at all; a record that cannot be read is moved aside, never overwritten or deleted.
//! What deliberately is not here: containers (the ground keeps its own records of them), images and
//! journals.

pub mod aside;
pub mod checkout;
pub mod home;
pub mod lock;
pub mod record;
mod replace;
pub mod secrets;
