//! Any text as a Compose file: loading must end without a panic, and what loads must load again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_compose::{InputFile, LoadOptions, load};

fn options(text: &str) -> LoadOptions {
    LoadOptions {
        files: vec![InputFile::Text { name: "fuzz.yaml".to_owned(), text: text.to_owned() }],
        working_directory: "/nonexistent".into(),
        project_name: Some("fuzz".to_owned()),
        interpolate: true,
        ..LoadOptions::default()
    }
}

fuzz_target!(|text: &str| {
    if let Ok(loaded) = load(&options(text)) {
        let yaml = loaded.document.to_yaml();
        let again = load(&options(&yaml)).expect("a resolved document loads");
        assert_eq!(again.document.to_yaml(), yaml);
    }
});
