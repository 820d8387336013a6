//! A small root file system: one static program under many names.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Programs that the tests call.
const PROGRAMS: [&str; 18] = [
    "sh", "cat", "echo", "sleep", "ls", "stat", "nc", "httpd", "wget", "id", "hostname", "true", "false",
    "touch", "mkdir", "kill", "ps", "nslookup",
];

static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Its directory; made at the first call, and kept between runs.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn directory() -> Result<PathBuf, String> {
    DIRECTORY.get_or_init(make).clone()
}

/// From now on, a copy that belongs to this user: an ordinary user's layers are its own.
pub(crate) fn use_own_copy(place: &Path) {
    let own = place.join("root");
    let original = make().expect("made before");
    let arguments =
        ["-a", "--no-preserve=ownership", &original.display().to_string(), &own.display().to_string()];
    run(place, "cp", &arguments).expect("copies");
    DIRECTORY.set(Ok(own)).expect("not asked for before");
}

fn make() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = place.join("busybox-root");
    if ready.join("bin/busybox").exists() {
        return Ok(ready);
    }
    let building = tempfile::tempdir_in(place).map_err(|error| error.to_string())?;
    fill(building.path()).map_err(|error| format!("no root file system: {error}"))?;
    // Another run may have been faster.
    if fs::rename(building.path().join("root"), &ready).is_err() && !ready.exists() {
        return Err(format!("could not make {}", ready.display()));
    }
    Ok(ready)
}

fn fill(building: &Path) -> Result<(), Box<dyn std::error::Error>> {
    run(building, "apt-get", &["download", "busybox-static"])?;
    let package = fs::read_dir(building)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or("no package came")?;
    run(building, "dpkg-deb", &["-x", &package.display().to_string(), "package"])?;
    let root = building.join("root");
    for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "run", "data", "home/app"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy(building.join("package/bin/busybox"), root.join("bin/busybox"))?;
    for program in PROGRAMS {
        symlink("busybox", root.join("bin").join(program))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\napp:x:1000:\n")?;
    fs::write(root.join("data/seed"), "from the image\n")?;
    std::os::unix::fs::chown(root.join("data"), Some(1000), Some(1000))?;
    Ok(())
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let output = Command::new(program).args(arguments).current_dir(directory).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into()),
    }
}
