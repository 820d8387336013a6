//! The words of a rule: what a router asks of a request or of a connection, as a [`Tree`].
//!
//! Which matchers there are, whoever parses a rule says; what they mean is not known here.

mod lexer;
mod tree;

pub use tree::{Call, SyntaxError, Tree};
