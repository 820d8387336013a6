//! Any text as a Compose file: loading must end without a panic, and what loads must load again
//! and settle.
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
        // A dependency that may be missing is shown without its service; a `$` of a key is doubled: both as
        // Docker Compose does it.
        let dollar_in_key =
            yaml.lines().any(|line| line.rsplit_once(':').is_some_and(|(key, _)| key.contains("$$")));
        if yaml.contains("required: false") || dollar_in_key {
            return;
        }
        // What is left out because it is blank may be filled in once, as a blank `dockerfile` is.
        let again = load(&options(&yaml)).expect("a resolved document loads").document.to_yaml();
        let third = load(&options(&again)).expect("and again").document.to_yaml();
        assert_eq!(third, again);
    }
});
