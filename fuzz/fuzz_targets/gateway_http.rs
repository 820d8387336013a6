//! Any bytes as a client's request and as a server's answer: how they come changes nothing about what they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_gateway::check::{answer, request};

fuzz_target!(|bytes: &[u8]| {
    if let Some(length) = request(bytes) {
        assert!(bytes[..length].ends_with(b"\r\n\r\n"));
        // What follows a request changes nothing about it, and less of it is none.
        let more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(request(&more), Some(length));
        assert_eq!(request(&bytes[..length - 1]), None);
    }
    let whole = answer(bytes, bytes.len());
    for step in [1, 7] {
        let parted = answer(bytes, step);
        assert_eq!(whole.is_ok(), parted.is_ok(), "{whole:?} {parted:?}");
        if let (Ok(whole), Ok(parted)) = (&whole, &parted) {
            assert_eq!(whole, parted);
        }
    }
});
