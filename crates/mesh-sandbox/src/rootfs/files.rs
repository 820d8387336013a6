//! Secrets and configs as files in memory.
//!
//! One tmpfs holds them all, in a place of the machine that the container loses sight of when it
//! enters its root; each is bound where it belongs.

use crate::{
    failure::{Attempt as _, Failure},
    mounting::bind,
    specification::UserNamespace,
};
use nix::mount::{MsFlags, mount};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::{
        fd::AsFd,
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

/// Room for all files together, in bytes.
const FILES_BYTES_MAX: u64 = 64 << 20;

/// The files of one container.
pub(super) struct Files {
    directory: PathBuf,
    namespace: UserNamespace,
    count: usize,
}

impl Files {
    pub(super) fn new(container: &Path, namespace: UserNamespace) -> Self {
        Self { directory: container.join("files"), namespace, count: 0 }
    }

    /// Writes one file and binds it on `target`.
    pub(super) fn add(
        &mut self,
        content: &[u8],
        (uid, gid): (u32, u32),
        mode: u32,
        target: &impl AsFd,
        shown: &str,
    ) -> Result<(), Failure> {
        if self.count == 0 {
            self.mount()?;
        }
        let path = self.directory.join(self.count.to_string());
        self.count += 1;
        let step = || format!("write {shown}");
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).attempt(step)?;
        file.write_all(content).attempt(step)?;
        // Where there is one id only, every file is its own already.
        if self.namespace != UserNamespace::Sole {
            chown(&path, Some(uid), Some(gid)).attempt(|| format!("give {shown} to {uid}:{gid}"))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777)).attempt(step)?;
        bind(&path, target, shown)
    }

    fn mount(&self) -> Result<(), Failure> {
        let step = || format!("mount memory on {}", self.directory.display());
        match fs::create_dir(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error).attempt(step)?,
            _ => {}
        }
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let options = format!("mode=700,size={FILES_BYTES_MAX}");
        mount(Some("tmpfs"), &self.directory, Some("tmpfs"), flags, Some(options.as_str())).attempt(step)
    }
}
