//! `image` and its short forms `load`, `save`, `rmi` and `prune`: the store of images, without a project.
//!
//! They work in this process. An ordinary user's layers have files of other ids, which only a user
//! namespace may make or remove, and a process of one thread can enter one: so it is entered before
//! anything else is begun.

use crate::{arguments::Format, console, context::Context, failure::CliError, table, words};
use clap::{Args, Subcommand, ValueEnum};
use mesh_image::{ImageError, ImageStore, Prune, Settings, StoredImage, Use};
use mesh_model::image::Source;
use mesh_oci::{archive::Form, platform::Platform};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    error::Error as _,
    fs::File,
    io::{self, BufRead as _, IsTerminal as _, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tokio::sync::mpsc;

/// Time that interrupted work is given to clean up after itself.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// Arguments of `image`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List the images that are stored
    #[command(visible_alias = "list")]
    Ls(List),
    /// Load images from an archive of `docker save`, or an OCI archive
    Load(Load),
    /// Save images into an archive
    Save(Save),
    /// Give an image another name
    Tag(Tag),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(Remove),
    /// Remove what no name and no container needs
    Prune(PruneArguments),
}

/// Arguments of `image ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this name
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
}

/// Arguments of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The archive; `-` or nothing: standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Platform, where the archive has several; this machine's by default
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

/// Arguments of `save`.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Images, by name or id
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Where to; `-` or nothing: standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Form of the archive
    #[arg(long, value_enum, default_value_t)]
    format: SaveFormat,
}

/// Form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SaveFormat {
    /// What `docker load` of any age takes; an OCI layout too
    #[default]
    Docker,
    /// An OCI layout alone
    Oci,
}

/// Arguments of `tag`.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// The image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Its further name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Arguments of `rmi`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Images, by name or id
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Also where a container was made of it, or it has several names
    #[arg(short, long)]
    force: bool,
    /// Say nothing of those that are not there
    #[arg(long, hide = true)]
    ignore_missing: bool,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// All that no container was made of, not only what has no name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Action {
    /// Whether files of layers are made or removed.
    fn writes(&self) -> bool {
        matches!(self, Self::Load(_) | Self::Rm(_) | Self::Prune(_))
    }
}

/// `image`.
pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    perform(context, arguments.action)
}

/// Does it. Called before this process has a second thread.
pub(crate) fn perform(context: &Context, action: Action) -> Result<u8, CliError> {
    if action.writes() && !rustix::process::geteuid().is_root() {
        (context.hooks.enter_user_namespace)().map_err(CliError::said)?;
    }
    let store = ImageStore::open(Settings::new(context.home.data.join("images"))).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("start the runtime"))?;
    let outcome = runtime.block_on(async {
        match action {
            Action::Ls(arguments) => list(&store, &arguments).await,
            Action::Load(arguments) => load(&store, arguments).await,
            Action::Save(arguments) => save(&store, arguments).await,
            Action::Tag(arguments) => {
                store.tag(&arguments.image, &arguments.name).await.map(|()| 0).map_err(failed)
            }
            Action::Rm(arguments) => remove(context, &store, &arguments).await,
            Action::Prune(arguments) => prune(context, &store, &arguments).await,
        }
    });
    // A read of a pipe that gives nothing must not hold up an interrupted command.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    outcome
}

async fn list(store: &ImageStore, arguments: &List) -> Result<u8, CliError> {
    let mut images = store.list().await.map_err(failed)?;
    if let Some(wanted) = &arguments.image {
        images.retain(|image| {
            let name = image.reference.as_deref().unwrap_or_default();
            name == wanted || split(name).0 == *wanted
        });
    }
    if arguments.quiet {
        let mut ids: Vec<String> = images.iter().map(|image| id(image, arguments.no_trunc)).collect();
        ids.dedup();
        ids.iter().for_each(|id| console::out_line(id));
        return Ok(0);
    }
    match arguments.format {
        Format::Table => {
            let now = words::now_unix_ms();
            let row = |image: &StoredImage| {
                let (repository, tag) = split(image.reference.as_deref().unwrap_or("<none>:<none>"));
                vec![
                    repository,
                    tag,
                    id(image, arguments.no_trunc),
                    created(image, now),
                    words::decimal_bytes(image.bytes),
                    source(image),
                ]
            };
            let rows: Vec<_> = images.iter().map(row).collect();
            console::out(&table::render(
                &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SOURCE"],
                &rows,
            ));
        }
        Format::Json => {
            let documents: Value = images.iter().map(document).collect();
            console::out_line(&documents.to_string());
        }
    }
    Ok(0)
}

/// How long ago it was made; `N/A` where it does not say.
fn created(image: &StoredImage, now_unix_ms: u64) -> String {
    image.made_seconds.map_or_else(
        || "N/A".to_owned(),
        |at| format!("{} ago", words::rough(now_unix_ms.saturating_sub(at.saturating_mul(1000)))),
    )
}

fn document(image: &StoredImage) -> Value {
    let (repository, tag) = split(image.reference.as_deref().unwrap_or("<none>:<none>"));
    json!({
        "ID": image.digest, "Repository": repository, "Tag": tag, "Digest": image.repository_digest,
        "Platform": image.platform, "Size": image.bytes, "Created": image.made_seconds, "Source": source(image),
    })
}

fn source(image: &StoredImage) -> String {
    match &image.source {
        Source::Debian { version, .. } => format!("debian {version}"),
        Source::Oci => "oci".to_owned(),
        Source::Embedded { service, version, .. } => format!("mesh {service} {version}"),
    }
}

fn id(image: &StoredImage, whole: bool) -> String {
    let digits = image.digest.rsplit_once(':').map_or(image.digest.as_str(), |(_, digits)| digits);
    if whole { image.digest.clone() } else { digits.chars().take(12).collect() }
}

/// Repository and tag; a port of the registry is not a tag.
fn split(name: &str) -> (String, String) {
    let plain = name.split_once('@').map_or(name, |(plain, _)| plain);
    match plain.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ if plain == name => (name.to_owned(), "latest".to_owned()),
        _ => (plain.to_owned(), "<none>".to_owned()),
    }
}

async fn load(store: &ImageStore, arguments: Load) -> Result<u8, CliError> {
    let platform = arguments.platform.as_deref().map(Platform::parse).transpose();
    let platform = platform.map_err(|error| CliError::said(error.to_string()))?;
    let source: Box<dyn Read + Send> = match arguments.input.as_deref().filter(|path| *path != Path::new("-"))
    {
        Some(path) => {
            let open = format!("open {}", path.display());
            Box::new(File::open(path).map_err(CliError::io(open))?)
        }
        None if io::stdin().is_terminal() => {
            return Err(CliError::said("an archive is read from a file or a pipe, not from a terminal")
                .with_hint("mesh load -i FILE"));
        }
        None => Box::new(io::stdin()),
    };
    let (sender, _unread) = mpsc::channel(1);
    let loaded = interruptible(store.load(source, platform, sender)).await?;
    for image in loaded.iter().filter(|_| !arguments.quiet) {
        match &image.name {
            Some(name) => console::out_line(&format!("Loaded image: {name}")),
            None => console::out_line(&format!("Loaded image ID: {}", image.id)),
        }
    }
    Ok(0)
}

async fn save(store: &ImageStore, arguments: Save) -> Result<u8, CliError> {
    let form = match arguments.format {
        SaveFormat::Docker => Form::Docker,
        SaveFormat::Oci => Form::Oci,
    };
    let Some(path) = arguments.output.as_deref().filter(|path| *path != Path::new("-")) else {
        if io::stdout().is_terminal() {
            return Err(CliError::said("an archive is written to a file or a pipe, not to a terminal")
                .with_hint("mesh save -o FILE IMAGE"));
        }
        interruptible(store.save(arguments.images, form, Box::new(io::BufWriter::new(io::stdout())))).await?;
        return Ok(0);
    };
    // Beside its place first: a save that fails leaves what was there as it was.
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let file = File::create_new(&part).map_err(CliError::io(format!("write {}", part.display())))?;
    let saved = interruptible(store.save(arguments.images, form, Box::new(io::BufWriter::new(file)))).await;
    let outcome = match saved {
        Ok(()) => std::fs::rename(&part, path).map_err(CliError::io(format!("write {}", path.display()))),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&part);
    }
    outcome.map(|()| 0)
}

async fn remove(context: &Context, store: &ImageStore, arguments: &Remove) -> Result<u8, CliError> {
    let mut code = 0;
    for image in &arguments.images {
        match store.remove(image, in_use(context), arguments.force).await {
            Ok(removed) => {
                removed.untagged.iter().for_each(|name| console::out_line(&format!("Untagged: {name}")));
                removed.deleted.iter().for_each(|id| console::out_line(&format!("Deleted: {id}")));
            }
            Err(ImageError::NoSuchImage { .. }) if arguments.ignore_missing => {}
            // The others are removed all the same, as Docker does.
            Err(error) => {
                console::err_line(&failed(error).render(context.settings.error_colour));
                code = 1;
            }
        }
    }
    Ok(code)
}

async fn prune(context: &Context, store: &ImageStore, arguments: &PruneArguments) -> Result<u8, CliError> {
    let which = if arguments.all { Prune::Unused } else { Prune::Unnamed };
    if !arguments.force {
        let bytes = store.prunable(which, in_use(context)).await.map_err(failed)?;
        let what = match which {
            Prune::Unnamed => "all images without a name and a container",
            Prune::Unused => "all images without a container",
        };
        let size = words::decimal_bytes(bytes);
        console::err(&format!("This removes {what}: {size}.\nAre you sure you want to continue? [y/N] "));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(CliError::io("read the answer"))?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Err(CliError::said("nothing was removed"));
        }
    }
    let removed = store.prune(which, in_use(context)).await.map_err(failed)?;
    removed.untagged.iter().for_each(|name| console::out_line(&format!("Untagged: {name}")));
    removed.deleted.iter().for_each(|id| console::out_line(&format!("Deleted: {id}")));
    console::out_line(&format!("Total reclaimed space: {}", words::decimal_bytes(removed.bytes)));
    Ok(0)
}

/// Removes images of a project that is gone, in a process of its own, since this one has threads. What
/// other containers were made of stays, and that is said.
pub(crate) fn remove_those_of_a_project(names: &BTreeSet<String>) -> Result<(), CliError> {
    if names.is_empty() {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(CliError::io("find this program"))?;
    let mut command = Command::new(own);
    command.args(["image", "rm", "--ignore-missing"]).args(names).stdin(Stdio::null());
    let output = command.output().map_err(CliError::io("remove images"))?;
    for name in
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.strip_prefix("Untagged: "))
    {
        console::err_line(&format!(" Image {name}  Removed"));
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        if let Some(said) = line.strip_prefix("error: ") {
            console::err_line(&format!("warning: {said}"));
        }
    }
    Ok(())
}

/// What containers were made of; asked once nobody fetches any more.
fn in_use(context: &Context) -> impl FnOnce() -> Vec<Use> + Send + 'static {
    let (uses, state) = (context.hooks.image_uses, context.home.state.clone());
    move || uses(&state)
}

/// Waits for work on the store, or for Ctrl-C.
async fn interruptible<T>(work: impl Future<Output = Result<T, ImageError>>) -> Result<T, CliError> {
    tokio::select! { biased;
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
        outcome = work => outcome.map_err(failed),
    }
}

fn failed(error: ImageError) -> CliError {
    let hint = error.hint();
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    CliError::Said { message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split() {
        for (name, repository, tag) in [
            ("redis:7", "redis", "7"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
            ("x@sha256:ab", "x", "<none>"),
            ("<none>:<none>", "<none>", "<none>"),
        ] {
            assert_eq!(split(name), (repository.to_owned(), tag.to_owned()), "{name}");
        }
    }
}
