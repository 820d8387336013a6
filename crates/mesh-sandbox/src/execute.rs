//! Execve: the environment a program gets, where it is found, and what a failure means.

use crate::{failure::Failure, specification::ProcessSpecification, user::Identity};
use mesh_linux::process::execute;
use nix::errno::Errno;
use std::{ffi::CString, path::Path};

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A program that is there and cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// A program that is not there.
const NOT_FOUND: i32 = 127;

/// A program ready to be executed.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Completes the environment and finds out where to look.
    pub(crate) fn new(
        process: &ProcessSpecification,
        identity: &Identity,
        hostname: &str,
        terminal: bool,
    ) -> Result<Self, Failure> {
        let name = process.arguments.first().filter(|name| !name.is_empty()).cloned().unwrap_or_default();
        let text = |text: String| {
            CString::new(text)
                .map_err(|_| Failure::refused(format!("execute {name}"), "a zero byte in its text"))
        };
        let given = process.environment.expose();
        let mut environment = Vec::with_capacity(given.len() + 4);
        for (key, value) in given {
            environment.push(text(format!("{key}={value}"))?);
        }
        let defaults = [("PATH", PATH), ("HOME", &identity.home), ("HOSTNAME", hostname), ("TERM", "xterm")];
        for (key, value) in defaults {
            if !given.contains_key(key) && (key != "TERM" || terminal) {
                environment.push(text(format!("{key}={value}"))?);
            }
        }
        let path = given.get("PATH").map_or(PATH, String::as_str);
        let candidates = candidates(&name, path).into_iter().map(text).collect::<Result<_, _>>()?;
        let arguments = process.arguments.iter().cloned().map(text).collect::<Result<_, _>>()?;
        Ok(Self { name, candidates, arguments, environment })
    }

    /// Becomes the program. Comes back with the reason that it could not.
    pub(crate) fn execute(&self) -> Failure {
        let mut worst = Errno::ENOENT;
        for candidate in &self.candidates {
            match execute(candidate, &self.arguments, &self.environment) {
                Errno::ENOENT if is_there(candidate) => worst = Errno::ENOEXEC,
                Errno::ENOENT | Errno::ENOTDIR => {}
                errno @ Errno::EACCES => worst = errno,
                errno => {
                    worst = errno;
                    break;
                }
            }
        }
        let (reason, code) = explain(worst, &self.name);
        Failure::Execute { program: self.name.clone(), reason, code }
    }
}

fn candidates(name: &str, path: &str) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    path.split(':')
        .map(|directory| if directory.is_empty() { "." } else { directory })
        .map(|directory| format!("{}/{name}", directory.trim_end_matches('/')))
        .collect()
}

fn is_there(candidate: &CString) -> bool {
    candidate.to_str().is_ok_and(|path| Path::new(path).exists())
}

fn explain(errno: Errno, name: &str) -> (String, i32) {
    match errno {
        Errno::ENOENT if name.contains('/') => ("no such file".to_owned(), NOT_FOUND),
        Errno::ENOENT => ("not found in PATH".to_owned(), NOT_FOUND),
        Errno::EACCES => ("it may not be executed by this user".to_owned(), NOT_EXECUTABLE),
        Errno::ENOEXEC => {
            let text = "it is no program of this machine, or the interpreter it names is missing";
            (text.to_owned(), NOT_EXECUTABLE)
        }
        errno => (errno.desc().to_owned(), NOT_EXECUTABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_in_the_path() {
        assert_eq!(candidates("sh", "/bin:/usr/bin/:"), ["/bin/sh", "/usr/bin/sh", "./sh"]);
        assert_eq!(candidates("./sh", "/bin"), ["./sh"]);
        assert!(candidates("", "/bin").is_empty());
    }

    #[test]
    fn failures_have_the_codes_of_a_shell() {
        assert_eq!(explain(Errno::ENOENT, "x").1, 127);
        assert_eq!(explain(Errno::EACCES, "x").1, 126);
        assert_eq!(explain(Errno::ENOEXEC, "x").1, 126);
    }
}
