//! Any text as a value with variables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_compose::{InputFile, LoadOptions, load};

fuzz_target!(|value: &str| {
    // A literal block takes any text that has no control characters.
    let value: String = value.chars().filter(|c| !c.is_control()).collect();
    let text = format!("services:\n  a:\n    image: x\n    hostname: |-\n      v{value}\n");
    let options = LoadOptions {
        files: vec![InputFile::Text { name: "fuzz.yaml".to_owned(), text }],
        working_directory: "/nonexistent".into(),
        project_name: Some("fuzz".to_owned()),
        environment: [("A".to_owned(), "a".to_owned()), ("E".to_owned(), String::new())].into(),
        interpolate: true,
        ..LoadOptions::default()
    };
    drop(load(&options));
});
