//! Any bytes as an environment file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_compose::{InputFile, LoadOptions, load};

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("written");
    let text = "services:\n  a: {image: x}\n".to_owned();
    let options = LoadOptions {
        files: vec![InputFile::Text { name: "fuzz.yaml".to_owned(), text }],
        working_directory: "/nonexistent".into(),
        project_name: Some("fuzz".to_owned()),
        env_files: vec![file.path().to_owned()],
        interpolate: true,
        ..LoadOptions::default()
    };
    drop(load(&options));
});
