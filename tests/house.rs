//! The house's own rules: layers, sizes, and where things may stand.

use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Files that may be longer than [`LINES_MAX`], each with its reason. The list only shrinks.
const LONG_FILES: &[(&str, &str)] = &[];
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate stands under crates/")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Each package with its layer, by name.
fn layers(metadata: &Value) -> BTreeMap<String, u64> {
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().expect("a name").to_owned();
            let layer = package["metadata"]["mesh"]["layer"].as_u64();
            (name.clone(), layer.unwrap_or_else(|| panic!("{name} states no [package.metadata.mesh] layer")))
        })
        .collect()
}

#[test]
fn a_crate_imports_only_lower_layers() {
    let metadata = metadata();
    let layers = layers(&metadata);
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            // A test may look sideways: it is not part of what is built.
            if dependency["kind"] == "dev" {
                continue;
            }
            let other = dependency["name"].as_str().expect("a name");
            if let Some(layer) = layers.get(other)
                && *layer >= layers[name]
            {
                wrong.push(format!("{name} (layer {}) imports {other} (layer {layer})", layers[name]));
            }
        }
    }
    assert!(wrong.is_empty(), "imports go downwards only:\n{}", wrong.join("\n"));
}

#[test]
fn only_mesh_linux_may_be_unsafe() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        if name == "mesh-linux" {
            continue;
        }
        let path = Path::new(package["manifest_path"].as_str().expect("a path"));
        let manifest = fs::read_to_string(path).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not take the workspace's lints");
        // The lint denies unsafe code; a source that allows it again would get past it.
        visit(&path.with_file_name("src"), &mut |file, text| {
            assert!(!text.contains("unsafe_code"), "{} speaks of unsafe code", file.display());
        });
    }
}

#[test]
fn every_crate_is_in_the_architecture() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for name in layers(&metadata()).keys() {
        assert!(architecture.contains(&format!("`{name}`")), "ARCHITECTURE.md does not say where {name} is");
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for folder in ["crates", "tests"] {
        visit(&root().join(folder), &mut |path, text| {
            let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            let lines = text.lines().count();
            if lines > LINES_MAX && !LONG_FILES.iter().any(|(long, _)| *long == name) {
                wrong.push(format!("{name} has {lines} lines; split it where a seam is natural"));
            }
            if !text.starts_with("//!") {
                wrong.push(format!("{name} does not say in its first line what it is for"));
            }
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn visit(folder: &Path, look: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                visit(&path, look);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}
