//! `cp`: a tar stream between this machine and a container, as Docker's rules for names have it.

use crate::{
    context::Context,
    failure::CliError,
    invocation::{command, exit_code},
    supervisor::Client,
};
use clap::Args;
use mesh_api::{message::Message, request::Request};
use std::{
    io::{self, Write},
    path::{Component, Path, PathBuf},
    process::Stdio,
};

/// Set-user-id and set-group-id.
const SET_ID_BITS: u32 = 0o6000;

/// Arguments of `cp`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// SERVICE:PATH, a path, or `-` for a tar stream
    #[arg(value_name = "SOURCE")]
    source: String,
    /// SERVICE:PATH, a path, or `-` for a tar stream
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// Keep uid and gid
    #[arg(short, long)]
    archive: bool,
    /// Follow a link at the end of the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Number of the container of the service, from 1
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// Ignored
    #[arg(long, hide = true)]
    all: bool,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A tar stream on a standard stream.
    Stream,
    /// A path of this machine.
    Here(PathBuf),
    /// A path of a service's container.
    There { service: String, path: String },
}

fn parse(text: &str) -> End {
    match text.split_once(':') {
        _ if text == "-" => End::Stream,
        Some((service, path))
            if !service.is_empty() && !service.contains('/') && !service.starts_with('.') =>
        {
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            End::There { service: service.to_owned(), path }
        }
        _ => End::Here(PathBuf::from(text)),
    }
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let (source, destination) = (parse(&arguments.source), parse(&arguments.destination));
    let target = context.target()?;
    let ((End::There { service, .. }, _) | (_, End::There { service, .. })) = (&source, &destination) else {
        return Err(
            CliError::said("neither end is in a container").with_hint("write one of them as SERVICE:PATH")
        );
    };
    target.check_services(std::slice::from_ref(service))?;
    let client = target
        .attend()
        .await?
        .ok_or_else(|| CliError::said(format!("service `{service}` has no container")))?;
    match (&source, &destination) {
        (End::There { .. }, End::There { .. }) => {
            Err(CliError::said("copying between containers is not supported")
                .with_hint("copy to this machine first"))
        }
        (End::There { service, path }, here) => copy_out(&client, &arguments, service, path, here).await,
        (here, End::There { service, path }) => copy_in(&client, &arguments, service, path, here).await,
        _ => Err(CliError::said("neither end is in a container")),
    }
}

async fn ask(
    client: &Client,
    arguments: &Arguments,
    service: &str,
    out: bool,
    path: &str,
) -> Result<std::process::Command, CliError> {
    let request = Request::Copy {
        service: service.to_owned(),
        index: arguments.index,
        out,
        path: path.to_owned(),
        follow_link: arguments.follow_link,
        archive: arguments.archive,
    };
    let mut ignore = |_: Message| {};
    command(client.call(request, &mut ignore, None).await?)
}

async fn copy_out(
    client: &Client,
    arguments: &Arguments,
    service: &str,
    path: &str,
    here: &End,
) -> Result<u8, CliError> {
    let mut command = ask(client, arguments, service, true, path).await?;
    let End::Here(destination) = here else {
        let status = command.status().map_err(CliError::io("start the copy"))?;
        return Ok(exit_code(status));
    };
    let (directory, name) = landing(destination, path)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(CliError::io("start the copy"))?;
    let Some(stream) = child.stdout.take() else { return Err(CliError::said("the copy has no output")) };
    let unpacked = unpack(stream, &directory, name.as_deref(), arguments.archive);
    let status = child.wait().map_err(CliError::io("wait for the copy"))?;
    let attempt = format!("unpack into {}", directory.display());
    // The other side's failure explains ours.
    if status.success() {
        unpacked.map_err(CliError::io(attempt))?;
    }
    Ok(exit_code(status))
}

/// Where a copy of `path` lands: the directory, and the name of its first part there; `None`: the
/// contents alone are copied (`path/.`).
fn landing(destination: &Path, path: &str) -> Result<(PathBuf, Option<String>), CliError> {
    if path.ends_with("/.") {
        return Ok((destination.to_owned(), None));
    }
    let base = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    if destination.is_dir() {
        return Ok((destination.to_owned(), base));
    }
    let parent = match destination.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if !parent.is_dir() {
        return Err(CliError::said(format!("the directory {} does not exist", parent.display())));
    }
    Ok((parent, destination.file_name().map(|name| name.to_string_lossy().into_owned())))
}

/// Unpacks a stream whose entries begin with one common name, which becomes `name`. Nothing is written
/// outside `directory`.
fn unpack(stream: impl io::Read, directory: &Path, name: Option<&str>, keep_owner: bool) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut archive = tar::Archive::new(stream);
    archive.set_preserve_ownerships(keep_owner);
    archive.set_preserve_permissions(true);
    // A program of the container's making is not to run here as whoever copied it.
    archive.set_mask(if keep_owner { 0 } else { SET_ID_BITS });
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = renamed(&entry.path()?, name);
        if path.as_os_str().is_empty() {
            continue;
        }
        let place = checked(directory, &path)?;
        match entry.link_name()? {
            // Its target is named within the stream; left alone it would be taken from here.
            Some(linked) if entry.header().entry_type().is_hard_link() => {
                std::fs::hard_link(checked(directory, &renamed(&linked, name))?, &place)?;
            }
            _ => drop(entry.unpack(&place)?),
        }
    }
    Ok(())
}

/// The path with its first part replaced, or left out; parts that lead upwards are left out.
fn renamed(path: &Path, name: Option<&str>) -> PathBuf {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        _ => None,
    });
    parts.next();
    name.map(Into::into).into_iter().chain(parts).collect()
}

/// The place of a path below the directory.
fn checked(directory: &Path, path: &Path) -> io::Result<PathBuf> {
    let place = directory.join(path);
    match is_inside(directory, &place)? {
        true => Ok(place),
        false => Err(io::Error::other(format!("{} would leave the directory", path.display()))),
    }
}

/// Whether the parent of a place, links resolved, lies in the directory.
fn is_inside(directory: &Path, place: &Path) -> io::Result<bool> {
    let parent = place.parent().unwrap_or(directory);
    std::fs::create_dir_all(parent)?;
    Ok(parent.canonicalize()?.starts_with(directory.canonicalize()?))
}

async fn copy_in(
    client: &Client,
    arguments: &Arguments,
    service: &str,
    path: &str,
    here: &End,
) -> Result<u8, CliError> {
    let End::Here(source) = here else {
        let status = ask(client, arguments, service, false, path)
            .await?
            .status()
            .map_err(CliError::io("start the copy"))?;
        return Ok(exit_code(status));
    };
    if !source.exists() && source.symlink_metadata().is_err() {
        return Err(CliError::said(format!("{} does not exist", source.display())));
    }
    let contents_only = source.to_string_lossy().ends_with("/.");
    let base = source
        .canonicalize()
        .ok()
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let is_directory = is_directory_there(client, arguments, service, path).await?;
    let (directory, name) = match path.trim_end_matches('/').rsplit_once('/') {
        _ if is_directory || path.ends_with('/') => (path.to_owned(), base),
        Some((parent, name)) => {
            (if parent.is_empty() { "/".to_owned() } else { parent.to_owned() }, Some(name.to_owned()))
        }
        None => ("/".to_owned(), base),
    };
    let name = if contents_only && is_directory { Some(".".to_owned()) } else { name };
    let mut command = ask(client, arguments, service, false, &directory).await?;
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(CliError::io("start the copy"))?;
    let Some(stream) = child.stdin.take() else { return Err(CliError::said("the copy has no input")) };
    let packed = pack(stream, source, name.as_deref().unwrap_or("."), arguments.follow_link);
    let status = child.wait().map_err(CliError::io("wait for the copy"))?;
    if status.success() {
        packed.map_err(CliError::io(format!("read {}", source.display())))?;
    }
    Ok(exit_code(status))
}

fn pack(stream: impl Write, source: &Path, name: &str, follow_link: bool) -> io::Result<()> {
    let mut archive = tar::Builder::new(stream);
    archive.follow_symlinks(false);
    let link = source.symlink_metadata()?.is_symlink();
    let source = if link && follow_link { source.canonicalize()? } else { source.to_owned() };
    if source.symlink_metadata()?.is_dir() {
        archive.append_dir_all(name, &source)?;
    } else {
        archive.append_path_with_name(&source, name)?;
    }
    archive.into_inner()?.flush()
}

/// Whether a path of the container is a directory: the first header of its copy says so. What is not
/// there is no directory.
async fn is_directory_there(
    client: &Client,
    arguments: &Arguments,
    service: &str,
    path: &str,
) -> Result<bool, CliError> {
    let followed =
        Arguments { follow_link: true, source: String::new(), destination: String::new(), ..*arguments };
    let mut command = ask(client, &followed, service, true, path).await?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(CliError::io("look at the destination"))?;
    let mut is_directory = false;
    if let Some(stream) = child.stdout.take() {
        let mut archive = tar::Archive::new(stream);
        if let Ok(mut entries) = archive.entries()
            && let Some(Ok(entry)) = entries.next()
        {
            is_directory = entry.header().entry_type().is_dir();
        }
    }
    // The rest of the stream is not wanted.
    let _ = child.kill();
    child.wait().map_err(CliError::io("look at the destination"))?;
    Ok(is_directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn ends_are_told_apart() {
        let there =
            |service: &str, path: &str| End::There { service: service.to_owned(), path: path.to_owned() };
        for (text, want) in [
            ("-", End::Stream),
            ("db:/etc", there("db", "/etc")),
            ("db:etc", there("db", "/etc")),
            ("./db:/etc", End::Here("./db:/etc".into())),
            ("/a/b:c", End::Here("/a/b:c".into())),
            ("file", End::Here("file".into())),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn a_copy_lands_under_its_name_and_never_outside() {
        let home = tempfile::tempdir().unwrap();
        let source = home.path().join("source");
        std::fs::create_dir_all(source.join("deep")).unwrap();
        std::fs::write(source.join("deep/file"), "text").unwrap();
        std::fs::set_permissions(source.join("deep/file"), PermissionsExt::from_mode(0o6755)).unwrap();
        let mut stream = Vec::new();
        pack(&mut stream, &source, "source", false).unwrap();
        let (directory, name) = landing(&home.path().join("copy"), "/srv/source").unwrap();
        unpack(stream.as_slice(), &directory, name.as_deref(), false).unwrap();
        assert_eq!(std::fs::read_to_string(home.path().join("copy/deep/file")).unwrap(), "text");
        let mode = std::fs::metadata(home.path().join("copy/deep/file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        unpack(stream.as_slice(), &home.path().join("flat"), None, false).unwrap();
        assert_eq!(std::fs::read_to_string(home.path().join("flat/deep/file")).unwrap(), "text");
        assert!(landing(&home.path().join("none/copy"), "/srv/source").is_err());
        assert_eq!(renamed(Path::new("../../etc/passwd"), Some("x")), Path::new("x/passwd"));
    }

    #[test]
    fn links_do_not_lead_out() {
        let home = tempfile::tempdir().unwrap();
        let inside = home.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink(home.path(), inside.join("out")).unwrap();
        assert!(!is_inside(&inside, &inside.join("out/file")).unwrap());
        assert!(is_inside(&inside, &inside.join("new/file")).unwrap());
    }
}
