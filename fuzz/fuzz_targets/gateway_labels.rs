//! Any lines of `name=value` as the labels of a container.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let labels: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let _ = mesh_gateway::check::labels(&labels);
});
