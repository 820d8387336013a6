//! Verbs about a stack as a whole: how it is, where it is, and what of it is kept.
//!
//! They have the names that people know from stacks with a command of their own. `start`, `stop` and `restart` are
//! Docker Compose's, and mean what they mean there.

pub(crate) mod backup;
pub(crate) mod health;
pub(crate) mod ip;
pub(crate) mod profiles;
pub(crate) mod reset;
pub(crate) mod shell;
pub(crate) mod status;

use crate::{
    console,
    context::{Target, containers},
    failure::CliError,
    supervisor::Client,
    terminal,
};
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::ContainerStatus,
};
use mesh_model::project::Project;
use std::io::{self, BufRead as _, Read as _};

/// Longest answer to a question in bytes.
const ANSWER_BYTES_MAX: u64 = 1024;

/// What is there of a project.
struct There {
    client: Client,
    /// Its containers, those of `run` left out.
    containers: Vec<ContainerStatus>,
    /// Those of `run`.
    one_offs: Vec<ContainerStatus>,
    /// What was brought up, as far as that is known.
    project: Option<Box<Project>>,
}

impl There {
    /// `None`: nothing of the project is there.
    async fn find(target: &Target) -> Result<Option<Self>, CliError> {
        let Some(client) = target.attend().await? else { return Ok(None) };
        let (one_offs, containers) = containers(&client).await?.into_iter().partition(|one| one.one_off);
        let project = brought_up(&client).await?;
        Ok(Some(Self { client, containers, one_offs, project }))
    }
}

/// The project as it was brought up, with what was left out of it.
pub(super) async fn brought_up(client: &Client) -> Result<Option<Box<Project>>, CliError> {
    let mut ignore = |_: Message| {};
    match client.call(Request::Project, &mut ignore, None).await? {
        Answer::Project(project) => Ok(project),
        _ => Err(crate::context::unexpected()),
    }
}

/// What is said of services that were left out; `None`: there are none.
pub(super) fn left_out(project: &Project) -> Option<String> {
    let names: Vec<&str> = project.left_out.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| format!("left out, as nothing serves their images: {}", names.join(", ")))
}

/// Asks on standard input, be it a terminal or a pipe. No answer is no.
pub(super) fn confirmed(question: &str) -> Result<bool, CliError> {
    console::err(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)
        .map_err(CliError::io("read the answer"))?;
    if !terminal::is_interactive() {
        console::err_line("");
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
