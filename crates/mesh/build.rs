//! Links the binary at a fixed address.
//!
//! A position-independent binary is full of addresses that the dynamic loader has to mend, each time it is
//! started: some twenty thousand, most of them places in source files for panics. Mesh starts itself for every
//! health test, `exec` and container, so this is a tenth of what those cost. Heap, stack and libraries are
//! placed at random all the same.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
