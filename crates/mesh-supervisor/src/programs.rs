//! Programs that run in containers beside their own - `exec`, hooks, health tests - as those hear of them who listen
//! to `events`.

use crate::{container::Container, events, owner::Input};
use mesh_api::message::Event;
use mesh_model::{container::ContainerId, health::HealthTest};
use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::mpsc};

/// Most bytes of what the shim of an `exec` says of its program's end: a number.
const CODE_BYTES_MAX: u64 = 16;

/// One of them.
#[derive(Debug)]
pub(crate) struct Program {
    /// Docker's `execID`.
    id: String,
    /// It and its arguments.
    line: String,
}

/// What is told of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Started,
    Ended { code: i32 },
}

/// Tells of one.
#[derive(Debug, Clone)]
pub(crate) struct Crier {
    inbox: mpsc::Sender<Input>,
    container: ContainerId,
    program: Arc<Program>,
}

impl Crier {
    /// Of a program that is about to run in a container.
    pub(crate) fn of(inbox: &mpsc::Sender<Input>, container: &ContainerId, command: &[String]) -> Self {
        let (program, arguments) =
            command.split_first().map_or(("", &[][..]), |(one, rest)| (one.as_str(), rest));
        // Docker has a space after each program, with arguments or without.
        let (id, line) = (fresh_id(container), format!("{program} {}", arguments.join(" ")));
        Self { inbox: inbox.clone(), container: container.clone(), program: Arc::new(Program { id, line }) }
    }

    /// Of a health test; `None`: it is no program.
    pub(crate) fn of_test(
        inbox: &mpsc::Sender<Input>,
        container: &ContainerId,
        test: &HealthTest,
    ) -> Option<Self> {
        match test {
            HealthTest::Command(command) => Some(Self::of(inbox, container, command)),
            HealthTest::Shell(line) => {
                let command = ["/bin/sh".to_owned(), "-c".to_owned(), line.clone()];
                Some(Self::of(inbox, container, &command))
            }
            HealthTest::Outside(_) => None,
        }
    }

    /// It runs.
    pub(crate) async fn started(&self) {
        self.tell(Step::Started).await;
    }

    /// It ended.
    pub(crate) async fn ended(&self, code: i32) {
        self.tell(Step::Ended { code }).await;
    }

    /// It ended with the code that its shim writes into a pipe; a shim that was killed says nothing.
    pub(crate) async fn ended_as_told(&self, pipe: OwnedFd) -> io::Result<()> {
        let mut told = String::new();
        pipe::Receiver::from_owned_fd(pipe)?.take(CODE_BYTES_MAX).read_to_string(&mut told).await?;
        if let Ok(code) = told.trim().parse() {
            self.ended(code).await;
        }
        Ok(())
    }

    async fn tell(&self, step: Step) {
        let (container, program) = (self.container.clone(), Arc::clone(&self.program));
        // An error means that the supervisor ends.
        let _ = self.inbox.send(Input::Program { container, program, step }).await;
    }
}

/// What is told of a step, in Docker's words.
pub(crate) fn told(container: &Container, program: &Program, step: Step) -> Vec<Event> {
    let actions = match step {
        Step::Started => {
            vec![format!("exec_create: {}", program.line), format!("exec_start: {}", program.line)]
        }
        Step::Ended { .. } => vec!["exec_die".to_owned()],
    };
    let event = |action: String| {
        let mut event = events::of(container, &action);
        event.attributes.insert("execID".to_owned(), program.id.clone());
        if let Step::Ended { code } = step {
            event.attributes.insert("exitCode".to_owned(), code.to_string());
        }
        event
    };
    actions.into_iter().map(event).collect()
}

/// 64 digits, as Docker's, that no other program of this machine has.
fn fresh_id(container: &ContainerId) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() & u128::from(u64::MAX);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut digits: String = container.0.chars().take(24).collect();
    digits.push_str(&format!("{now:016x}{:08x}{number:016x}", std::process::id()));
    digits
}
