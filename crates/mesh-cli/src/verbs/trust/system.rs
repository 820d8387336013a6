//! The machine's own store: a folder for further authorities, and the program that makes the bundle of it.

use super::{
    Deed, Known, Step,
    programs::{self, TrustError},
};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// A folder, the program, its words after something came, and those after something left.
type Kind = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// Debian and Alpine; Fedora and Red Hat; Arch; SUSE.
const KINDS: [Kind; 4] = [
    ("/usr/local/share/ca-certificates", "update-ca-certificates", &[], &["--fresh"]),
    ("/etc/pki/ca-trust/source/anchors", "update-ca-trust", &["extract"], &["extract"]),
    ("/etc/ca-certificates/trust-source/anchors", "trust", &["extract-compat"], &["extract-compat"]),
    ("/etc/pki/trust/anchors", "update-ca-certificates", &[], &[]),
];

/// The store of this machine.
#[derive(Debug)]
pub(super) struct System {
    folder: PathBuf,
    program: PathBuf,
    added: &'static [&'static str],
    removed: &'static [&'static str],
    may_write: bool,
}

impl System {
    pub(super) fn find() -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        KINDS.iter().find_map(|&(folder, program, added, removed)| {
            let (folder, program) = (PathBuf::from(folder), programs::find(program)?);
            let may_write = root;
            folder.is_dir().then_some(Self { folder, program, added, removed, may_write })
        })
    }

    /// What is to be done so that these are trusted, and those are not.
    pub(super) fn steps(&self, wanted: &[Known], unwanted: &[Known]) -> Vec<Step> {
        let place = |one: &Known| self.folder.join(one.file.file_name().unwrap_or_default());
        let same = |one: &&Known| {
            fs::read(place(one)).is_ok_and(|there| fs::read(&one.file).is_ok_and(|it| it == there))
        };
        let add: Vec<PathBuf> = wanted.iter().filter(|one| !same(one)).map(|one| one.file.clone()).collect();
        let remove: Vec<PathBuf> = unwanted.iter().map(place).filter(|path| path.exists()).collect();
        let step = |told: String, deed: Deed| vec![Step { told, deed }];
        let words = |words: &[&str]| {
            let all =
                [&[self.program.file_name().and_then(OsStr::to_str).unwrap_or_default()], words].concat();
            all.join(" ")
        };
        match (add.as_slice(), remove.as_slice()) {
            ([], []) => Vec::new(),
            _ if self.may_write => step(self.told(&add, &remove), Deed::System { add, remove }),
            (add, remove) => {
                let mut commands = Vec::new();
                if !remove.is_empty() {
                    commands.push(format!("sudo rm {}", listed(remove)));
                }
                if !add.is_empty() {
                    commands.push(format!("sudo install -m 0644 {} {}", listed(add), self.folder.display()));
                }
                let last = words(if add.is_empty() { self.removed } else { self.added });
                commands.push(format!("sudo {last}"));
                step(format!("for the machine's store, as root: {}", commands.join(" && ")), Deed::Advice)
            }
        }
    }

    fn told(&self, add: &[PathBuf], remove: &[PathBuf]) -> String {
        let names = |paths: &[PathBuf]| {
            let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let folder = self.folder.display();
        let added = (!add.is_empty()).then(|| format!("put {} into {folder}", names(add)));
        let removed = (!remove.is_empty()).then(|| format!("remove {} from {folder}", names(remove)));
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        let parts: Vec<String> = added.into_iter().chain(removed).collect();
        format!("{}, and run {program}", parts.join(", "))
    }

    /// Changes files of the folder and has the bundle made of them. Where one of both fails, the folder is as it was:
    /// what is in it is what the next run takes to be done.
    pub(super) fn change(&self, add: &[PathBuf], remove: &[PathBuf]) -> Result<(), TrustError> {
        let mut before: Vec<(PathBuf, Option<Vec<u8>>)> = Vec::new();
        let done = self.change_files(add, remove, &mut before).and_then(|()| {
            let words = if remove.is_empty() { self.added } else { self.removed };
            programs::run(&self.program, words).map(drop)
        });
        let Err(error) = done else { return Ok(()) };
        for (place, text) in before.iter().rev() {
            let back = match text {
                Some(text) => put(place, text),
                None => fs::remove_file(place),
            };
            if let Err(source) = back
                && source.kind() != io::ErrorKind::NotFound
            {
                return Err(TrustError::Left { path: place.clone(), source: Box::new(error) });
            }
        }
        Err(error)
    }

    /// Changes them, and notes before each what was there.
    fn change_files(
        &self,
        add: &[PathBuf],
        remove: &[PathBuf],
        before: &mut Vec<(PathBuf, Option<Vec<u8>>)>,
    ) -> Result<(), TrustError> {
        for path in remove {
            let Some(text) = there(path).map_err(|error| failed("read", path, error))? else { continue };
            before.push((path.clone(), Some(text)));
            fs::remove_file(path).map_err(|error| failed("remove", path, error))?;
        }
        for file in add {
            let place = self.folder.join(file.file_name().unwrap_or_default());
            let text = fs::read(file).map_err(|error| failed("read", file, error))?;
            let old = there(&place).map_err(|error| failed("read", &place, error))?;
            before.push((place.clone(), old));
            put(&place, &text).map_err(|error| failed("write", &place, error))?;
        }
        Ok(())
    }
}

/// What is in a file; none where there is none.
fn there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn put(place: &Path, text: &[u8]) -> io::Result<()> {
    fs::write(place, text)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o644))
}

/// What is said of a machine whose store is not known.
pub(super) fn unknown() -> Vec<Step> {
    let told =
        "the machine's store is not one that is known here: `mesh trust --print` gives the certificates";
    vec![Step { told: told.to_owned(), deed: Deed::Advice }]
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>().join(" ")
}

fn failed(attempted: &'static str, path: &Path, source: io::Error) -> TrustError {
    TrustError::File { attempted, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store in a folder, with a program that notes how it was called.
    fn store(root: &Path, may_write: bool) -> System {
        let folder = root.join("anchors");
        fs::create_dir_all(&folder).expect("made");
        let program = root.join("update");
        fs::write(&program, format!("#!/bin/sh\necho called $* >> '{}'\n", root.join("log").display()))
            .expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
        System { folder, program, added: &["extract"], removed: &["--fresh"], may_write }
    }

    fn known(root: &Path, name: &str) -> Known {
        let file = root.join(format!("{name}.crt"));
        fs::write(&file, format!("certificate of {name}")).expect("written");
        Known { name: name.to_owned(), domains: String::new(), file }
    }

    #[test]
    fn what_came_leaves_again_and_nothing_is_done_twice() {
        let root = tempfile::tempdir().expect("a folder");
        let system = store(root.path(), true);
        let (one, old) = (known(root.path(), "one"), known(root.path(), "old"));
        fs::write(system.folder.join("other.crt"), "of somebody else").expect("written");
        fs::write(system.folder.join("old.crt"), "certificate of old").expect("written");
        let carry_out = |steps: Vec<Step>| {
            for step in steps {
                let Deed::System { add, remove } = step.deed else { panic!("{step:?}") };
                system.change(&add, &remove).expect("changed");
            }
        };
        carry_out(system.steps(std::slice::from_ref(&one), std::slice::from_ref(&old)));
        assert_eq!(fs::read_to_string(system.folder.join("one.crt")).expect("there"), "certificate of one");
        assert!(!system.folder.join("old.crt").exists());
        assert!(system.steps(std::slice::from_ref(&one), std::slice::from_ref(&old)).is_empty());
        carry_out(system.steps(&[], &[one.clone(), old]));
        assert!(system.steps(&[], &[one]).is_empty());
        let left: Vec<_> =
            fs::read_dir(&system.folder).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["other.crt"]);
        assert_eq!(
            fs::read_to_string(root.path().join("log")).expect("called"),
            "called --fresh\ncalled --fresh\n"
        );
    }

    #[test]
    fn what_the_program_refused_is_still_to_be_done() {
        let root = tempfile::tempdir().expect("a folder");
        let system = store(root.path(), true);
        let works = fs::read(&system.program).expect("read");
        let (one, old) = (known(root.path(), "one"), known(root.path(), "old"));
        fs::write(system.folder.join("old.crt"), "certificate of old").expect("written");
        let steps = || system.steps(std::slice::from_ref(&one), std::slice::from_ref(&old));
        let carry_out = || {
            let [Step { deed: Deed::System { add, remove }, .. }] = &steps()[..] else { panic!("no step") };
            system.change(add, remove)
        };
        let before = steps();
        fs::write(&system.program, "#!/bin/sh\necho no room >&2\nexit 1\n").expect("written");
        for _ in 0..2 {
            let error = carry_out().expect_err("the program fails");
            assert!(error.to_string().contains("no room"), "{error}");
            assert_eq!(steps(), before);
            let there = fs::read_to_string(system.folder.join("old.crt")).expect("there");
            assert!(there == "certificate of old" && !system.folder.join("one.crt").exists());
        }
        fs::write(&system.program, works).expect("written");
        carry_out().expect("changed");
        assert!(steps().is_empty() && !system.folder.join("old.crt").exists());
    }

    #[test]
    fn without_root_it_is_said_what_to_run() {
        let root = tempfile::tempdir().expect("a folder");
        let system = store(root.path(), false);
        let steps = system.steps(&[known(root.path(), "one")], &[]);
        assert_eq!(steps.len(), 1);
        assert!(steps[0].deed == Deed::Advice && steps[0].told.contains("sudo install -m 0644"), "{steps:?}");
        assert!(steps[0].told.ends_with("&& sudo update extract"), "{steps:?}");
    }
}
