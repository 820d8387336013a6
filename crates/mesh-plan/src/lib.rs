//! Desired and observed state to a plan: [`plan::plan`].
//!
//! Invariants: the same input gives the same plan; nothing here reads the environment, the clock or a
//! file; random bytes for ids come from the caller; planning after a plan was carried out gives
//! nothing to do. What deliberately is not here: carrying the plan out, and anything of a ground.

pub mod graph;
pub mod hash;
pub mod naming;
pub mod outline;
pub mod plan;

#[cfg(test)]
pub(crate) mod sample;
