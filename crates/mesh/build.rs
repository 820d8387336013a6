//! Links the binary at a fixed address, and the unwinder into it.
//!
//! A position-independent binary is full of addresses that the dynamic loader has to mend, each time it is
//! started: some twenty thousand, most of them places in source files for panics. Each library is mapped and
//! searched on top of that. Mesh starts itself for every health test, `exec` and container, so this is a tenth of
//! what those cost. Heap, stack and libraries are placed at random all the same.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
        if has_static_unwinder() {
            println!("cargo:rustc-link-lib=gcc_eh");
        }
    }
}

/// Whether the linker's compiler comes with GCC's unwinder as an archive. Named before the standard library's own
/// `libgcc_s`, it leaves nothing for that to define, and the linker drops it.
fn has_static_unwinder() -> bool {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let asked = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output();
    // A compiler that has no such file says the bare name.
    asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
}
