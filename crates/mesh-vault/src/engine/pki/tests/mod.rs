//! Through the engine, as the core asks it.
