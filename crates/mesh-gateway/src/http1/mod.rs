//! HTTP/1.1 as bytes (RFC 9112): heads, and where bodies end.
//!
//! Pure: bytes in, messages out, and back. Who reads and writes them is elsewhere: requests to servers in
//! [`crate::upstream`], answers to clients in [`crate::proxy`]. Heads are taken apart by httparse. What a client sends
//! that is not quite plain is told as such, and left to hyper, which knows what to answer; what a server sends has to be
//! plain.

mod chunked;
mod head;
mod write;

pub(crate) use chunked::{ChunkError, Chunked, Piece};
pub(crate) use head::{Asked, Ends, HeadError, Told, announced, is_last, recycle, request, response};
pub(crate) use write::{Length, Unsent, chunk, last_chunk, request_head, response_head};
