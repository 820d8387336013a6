//! How a registry wants to be shown who asks: challenges, and the tokens they lead to.

pub(crate) mod challenge;
pub(crate) mod token;
