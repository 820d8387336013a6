//! Any bytes as the beginning of a connection: a header that is there is no longer than they are.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((length, _)) = mesh_gateway::check::preamble(bytes) {
        assert!(length <= bytes.len());
        // What follows it changes nothing about it.
        let more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(mesh_gateway::check::preamble(&more).map(|(length, _)| length), Some(length));
    }
});
