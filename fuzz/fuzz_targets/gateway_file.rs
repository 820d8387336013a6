//! Any text as a file of the file provider, in YAML and in TOML.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for name in ["a.yml", "a.toml"] {
        let _ = mesh_gateway::check::file(name, text);
    }
});
