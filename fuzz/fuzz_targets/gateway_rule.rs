//! Any text as a rule of HTTP and of TCP, of both versions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = mesh_gateway::check::rule(text);
    let _ = mesh_gateway::check::tcp_rule(text);
});
