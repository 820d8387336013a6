//! Mesh: a Compose file brought up on a bare machine.
//!
//! The binary is the composition root and three programs in one: the command line, the supervisor of
//! one project (`mesh supervisor --project NAME`), and the shim of one container (`mesh shim ...`).
//! Which one it is, is decided before anything else happens: a shim must stay small and have one
//! thread, and a supervisor must enter its namespaces before it has a second one.

mod supervise;

use mesh_cli::{DoctorCheck, DoctorVerdict, Hooks};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["shim", ..] => exit_code(mesh_sandbox::main(&arguments[2..])),
        ["supervisor", ..] => supervise::main(&arguments[2..]),
        _ => mesh_cli::main(Hooks { version: env!("CARGO_PKG_VERSION"), doctor, image_sizes }),
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Sizes are for showing: where they cannot be read there are none.
fn image_sizes(directory: &Path) -> BTreeMap<String, u64> {
    let settings = mesh_image::Settings::new(directory.to_owned());
    let list = async move { mesh_image::ImageStore::open(settings)?.list().await };
    // The caller is inside a runtime of its own.
    let listed = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().build().ok()?.block_on(list).ok()
    });
    let images = listed.join().ok().flatten().unwrap_or_default();
    images.into_iter().map(|image| (image.digest, image.bytes)).collect()
}

fn doctor() -> Vec<DoctorCheck> {
    let uid = rustix::process::geteuid().as_raw();
    let home = mesh_store::home::Home::resolve(&|name| std::env::var_os(name), uid);
    // Without a home the disk that is looked at is the root's; `up` says what is wrong with the home.
    let data = home.map_or_else(|_| PathBuf::from("/"), |home| home.data);
    use mesh_native::doctor::{Verdict, examine};
    let check = |check: mesh_native::doctor::Check| DoctorCheck {
        name: check.name.to_owned(),
        verdict: match check.verdict {
            Verdict::Ok => DoctorVerdict::Good,
            Verdict::Degraded => DoctorVerdict::Limited,
            Verdict::Missing => DoctorVerdict::Missing,
        },
        detail: check.detail,
        remedy: check.remedy,
    };
    examine(&data).into_iter().map(check).collect()
}
