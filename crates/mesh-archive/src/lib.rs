//! Trees of files as tar streams, packed and unpacked as a container engine copies them.
//!
//! Packing takes what is there at the moment: a file that vanishes is left out, one that grows is cut, one
//! that shrinks is filled up, so that a living tree gives a sound stream. Unpacking writes inside of one
//! directory only, whatever names and links a stream brings, and replaces no directory by a file nor a
//! file by a directory.
//!
//! Absent on purpose: compression, and everything about images and their layers.

mod pack;
mod unpack;

pub use pack::Packer;
pub use unpack::{Owners, Rename, Rules, unpack};

#[cfg(test)]
mod tests;
