//! Mesh: a Compose file brought up on a bare machine.
//!
//! The binary is the composition root and several programs in one: the command line, the supervisor of
//! one project (`mesh supervisor --project NAME`), the shim of one container (`mesh shim ...`), what removes files that
//! are an ordinary user's in a namespace alone (`mesh supervisor --remove DIRECTORY...`), and the embedded services.
//! Which one it is, is decided before anything else happens: a shim must stay small and have one
//! thread, and a supervisor must enter its namespaces before it has a second one.

mod json_lines;
mod service;
mod supervise;

use mesh_cli::{DoctorCheck, DoctorVerdict, Hooks, ImageFacts};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments.first().map_or("", |name| called(name)) {
        "vault" => return vault(&arguments[1..]),
        "traefik" => return service::gateway(&arguments[1..]),
        "whoami" => return service::whoami(&arguments[1..]),
        _ => {}
    }
    match words.as_slice() {
        ["vault-cli", ..] => vault(&arguments[2..]),
        ["service", ..] => service::main(&arguments[2..]),
        ["shim", ..] => exit_code(mesh_sandbox::main(&arguments[2..])),
        ["supervisor", "--remove", ..] => remover(&arguments[3..]),
        ["supervisor", ..] => supervise::main(&arguments[2..]),
        _ => mesh_cli::main(Hooks {
            version: env!("CARGO_PKG_VERSION"),
            doctor,
            images,
            image_uses,
            enter_user_namespace,
            volumes: mesh_native::volumes_by_project,
            run_through_door,
        }),
    }
}

/// Vault's command line: its server is ours, the rest is a client of whatever server there is.
fn vault(arguments: &[String]) -> ExitCode {
    match arguments.split_first() {
        Some((word, rest)) if word == "server" => service::vault(rest),
        _ => ExitCode::from(mesh_vault_cli::main(arguments)),
    }
}

/// The name by which the binary was called: a link to it, or a copy.
fn called(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Images are for showing: where they cannot be read there are none.
fn images(directory: &Path) -> BTreeMap<String, ImageFacts> {
    let settings = mesh_image::Settings::new(directory.to_owned());
    let list = async move { mesh_image::ImageStore::open(settings)?.list().await };
    // The caller is inside a runtime of its own.
    let listed = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().build().ok()?.block_on(list).ok()
    });
    let images = listed.join().ok().flatten().unwrap_or_default();
    let facts = |image: mesh_image::StoredImage| {
        let made_unix_ms = image.made_seconds.map(|seconds| seconds.saturating_mul(1000));
        let tagged_unix_ms = Some(image.created_seconds.saturating_mul(1000));
        let (bytes, platform) = (image.bytes, image.platform.unwrap_or_default());
        (image.digest, ImageFacts { bytes, created_unix_ms: made_unix_ms, tagged_unix_ms, platform })
    };
    images.into_iter().map(facts).collect()
}

/// What every container of this user was made of.
fn image_uses(state: &Path) -> Vec<mesh_image::Use> {
    let of = |spec: mesh_native::image_use::ContainerSpec| mesh_image::Use {
        project: spec.project,
        container: spec.name,
        digest: spec.image.digest,
        layers: spec.image.layers,
    };
    mesh_native::image_use::containers(state).into_iter().map(of).collect()
}

/// Enters a user namespace, with the reason in one line where that is not possible.
fn enter_user_namespace() -> Result<(), String> {
    let entered = mesh_native::image_use::enter_user_namespace(Path::new("/proc/self/exe"));
    entered.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

/// Removes what restores left in directories of volumes, in a user namespace: an ordinary user's containers own some of
/// it.
fn remover(directories: &[String]) -> ExitCode {
    if enter_user_namespace().is_err() {
        return ExitCode::FAILURE;
    }
    let stays = directories.iter().filter(|it| !mesh_store::aside::sweep(Path::new(it)).is_empty()).count();
    if stays == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A container's shim as the command line sees it.
fn run_through_door(
    directory: &Path,
    orders: &[u8],
    streams: [std::os::fd::BorrowedFd<'_>; 3],
) -> Option<mesh_cli::ThroughDoor> {
    use mesh_sandbox::beside::caller::{End, run};
    match run(directory, orders, streams) {
        Ok(End::Code(code)) => Some(mesh_cli::ThroughDoor::Ended(code)),
        Ok(End::NotExecuted(code)) => Some(mesh_cli::ThroughDoor::NotExecuted(code)),
        Ok(End::Refused) | Err(_) => None,
    }
}

fn doctor() -> Vec<DoctorCheck> {
    let uid = rustix::process::geteuid().as_raw();
    let home = mesh_store::home::Home::of_environment(&|name| std::env::var_os(name), uid);
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
