//! Programs that the shim of a container starts in it itself, beside the container's own.
//!
//! A second start of this binary for each `exec` and each health test costs as much as everything else about
//! it. The shim is there already, executed from a mount that is read-only, with one thread. So it has a door: a
//! socket in the container's directory that takes one datagram a program, with the orders, the three streams and one end of a conversation.
//!
//! Invariants:
//! - nothing is born into the container's pid namespace before it has the container's other namespaces, the program's
//!   own rights, and no descriptor of the machine but its streams (see [`child`], and [`birth`](crate::birth));
//! - the shim reads no orders and keeps nothing of a program but three descriptors, and of programs a bounded
//!   number: its memory does not grow;
//! - a program ends with its caller, as far as that is its parent's doing: a conversation that breaks kills it.
//!
//! Absent on purpose: programs at a terminal and detached ones, containers that share the machine's pid
//! namespace (a program of such a one could outlive its shim unseen), and shims of a time without a door. For
//! all of them there is `mesh shim exec`, and whoever was refused goes there.

pub mod caller;
mod child;
mod guest;
pub(crate) mod wire;

pub(crate) use guest::{Beside, Ready};
