//! The files of containers, worked on by processes of ours that the supervisor says how to start.

use crate::{failure::CliError, invocation::command, supervisor::Client};
use mesh_api::{
    message::Message,
    options::FileOperation,
    request::Request,
    status::{FileEntry, FileStatus},
};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Write},
    process::{Child, ChildStdin, Command, Stdio},
};

/// The files of some containers.
pub(crate) struct Files {
    pub(crate) client: Client,
    /// Names of the containers.
    pub(crate) containers: Vec<String>,
}

impl Files {
    /// How one of them is worked on, in a process of ours.
    pub(crate) async fn command(
        &self,
        container: &str,
        operation: FileOperation,
    ) -> Result<Command, CliError> {
        let request = Request::Files { container: container.to_owned(), operation };
        let mut ignore = |_: Message| {};
        command(self.client.call(request, &mut ignore, None).await?)
    }

    /// What is at a path of one of them.
    pub(crate) async fn look(&self, container: &str, path: &str) -> Result<FileStatus, CliError> {
        let mut command = self.command(container, FileOperation::Look { path: path.to_owned() }).await?;
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(CliError::io("look at the container's files"))?;
        match serde_json::from_slice(&output.stdout) {
            Ok(status) if output.status.success() => Ok(status),
            // Why was said on standard error.
            _ => Err(CliError::Exit(1)),
        }
    }

    /// What is at a path of one of them and below it, by the path from there.
    pub(crate) async fn list(
        &self,
        container: &str,
        path: &str,
    ) -> Result<HashMap<String, FileEntry>, CliError> {
        let command = self.command(container, FileOperation::List { path: path.to_owned() }).await?;
        let output = tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await
            .map_err(CliError::io("list the container's files"))?;
        if !output.status.success() {
            return Err(CliError::Exit(1));
        }
        // A line that cannot be read is a file that is not known, and copied.
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let entries = lines.filter_map(|line| serde_json::from_slice::<FileEntry>(line).ok());
        Ok(entries.map(|entry| (entry.path.clone(), entry)).collect())
    }

    /// Removes paths from one of them.
    pub(crate) async fn remove(&self, container: &str, paths: Vec<String>) -> Result<(), CliError> {
        let command = self.command(container, FileOperation::Remove { paths }).await?;
        let status = tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .status()
            .await
            .map_err(CliError::io("remove the container's files"))?;
        if status.success() { Ok(()) } else { Err(CliError::Exit(1)) }
    }
}

/// One container's copy.
struct Copy {
    child: Child,
    failed: bool,
}

impl Copy {
    fn input(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }
}

/// The copies of one stream. One that ends early does not keep the others from theirs.
#[derive(Default)]
pub(crate) struct Copies(Vec<Copy>);

impl Copies {
    /// Starts a command that reads the stream.
    pub(crate) fn start(&mut self, mut command: Command) -> Result<(), CliError> {
        let child = command.stdin(Stdio::piped()).spawn().map_err(CliError::io("start the copy"))?;
        self.0.push(Copy { child, failed: false });
        Ok(())
    }

    /// Waits for all; whether all went well.
    pub(crate) fn finish(self) -> Result<bool, CliError> {
        let mut all_well = true;
        for mut copy in self.0 {
            drop(copy.child.stdin.take());
            let status = copy.child.wait().map_err(CliError::io("wait for the copy"))?;
            all_well &= status.success();
        }
        Ok(all_well)
    }
}

impl Write for Copies {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for copy in self.0.iter_mut().filter(|copy| !copy.failed) {
            let written = copy.input().map_or(Ok(()), |input| input.write_all(bytes));
            copy.failed = written.is_err();
        }
        match self.0.iter().all(|copy| copy.failed) {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
