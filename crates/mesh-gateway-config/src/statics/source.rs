//! Where a static configuration is read from: a file, or flags, or the environment. The first that says anything is
//! the one that counts, as Traefik has it.

use super::Statics;
use crate::{
    Warning,
    decode::{DecodeError, decode},
    text::{TextError, read_file},
    tree::{Node, PathError},
};
use std::path::{Path, PathBuf};

/// The flag that names a file.
const FILE_FLAG: &str = "configfile";
/// What the names of variables begin with.
const VARIABLES: &str = "TRAEFIK_";
/// The endings that a file is looked for with.
const ENDINGS: &[&str] = &["toml", "yaml", "yml"];
/// Where the gateway listens if it is not told.
const DEFAULT_ADDRESS: &str = ":80";

/// Why there is no static configuration.
#[derive(Debug, thiserror::Error)]
pub enum StaticError {
    /// An argument that does not begin with a hyphen.
    #[error("command traefik error: {argument:?} is no flag")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// A flag whose name is none.
    #[error("could not read flag --{name}")]
    Flag {
        /// The name, without its hyphens.
        name: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// The flags say what no configuration says.
    #[error("could not read the flags")]
    Flags(#[source] DecodeError),
    /// The environment does.
    #[error("could not read the environment")]
    Environment(#[source] DecodeError),
    /// What paths of the API are to begin with is no path.
    #[error("API basePath {path:?} is no path")]
    BasePath {
        /// What was given.
        path: String,
    },
    /// A file is no configuration's text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A file says what no configuration says.
    #[error("could not read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: DecodeError,
    },
}

/// Reads the static configuration.
///
/// # Errors
/// What of its source cannot be read or understood.
pub fn load(
    arguments: &[String],
    variables: &[(String, String)],
    warnings: &mut Vec<Warning>,
) -> Result<Statics, StaticError> {
    let flags = flags(arguments)?;
    let named = flags.get(FILE_FLAG).and_then(|node| match &node.value {
        crate::tree::Value::Text(path) => Some(PathBuf::from(path)),
        _ => None,
    });
    let lookup = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut statics = if let Some(path) = named.or_else(|| found(&lookup)) {
        if flags != Node::empty() && flags.get(FILE_FLAG).is_none() {
            let message = format!("{} is there: the flags have no effect", path.display());
            warnings.push(Warning { place: "arguments".to_owned(), message });
        }
        from_file(&path)?
    } else if flags != Node::empty() {
        decode(&flags).map_err(StaticError::Flags)?
    } else {
        decode(&environment(variables)).map_err(StaticError::Environment)?
    };
    complete(&mut statics)?;
    Ok(statics)
}

fn from_file(path: &Path) -> Result<Statics, StaticError> {
    let node = read_file(path)?;
    decode(&node).map_err(|source| StaticError::File { path: path.to_owned(), source })
}

/// `--a.b=c`, `--a.b c` and `--a.b`, which is `true`; one hyphen does as well.
fn flags(arguments: &[String]) -> Result<Node, StaticError> {
    let mut root = Node::empty();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let wrong = || StaticError::Argument { argument: argument.clone() };
        let flag = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).ok_or_else(wrong)?;
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match rest.next_if(|next| !next.starts_with('-')) {
                Some(value) => (flag, value.clone()),
                None => (flag, "true".to_owned()),
            },
        };
        let path: Vec<&str> = name.split('.').collect();
        let failed = |source| StaticError::Flag { name: name.to_owned(), source };
        root.insert(&path, &value).map_err(failed)?;
    }
    Ok(root)
}

/// `TRAEFIK_A_B=c`.
fn environment(variables: &[(String, String)]) -> Node {
    let mut root = Node::empty();
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(VARIABLES) else { continue };
        let path = path.to_lowercase();
        let path: Vec<&str> = path.split('_').collect();
        // A name with two underscores beside each other is none of Traefik's.
        let _ = root.insert(&path, value);
    }
    root
}

/// The first file where Traefik looks for one.
fn found<'v>(lookup: &impl Fn(&str) -> Option<&'v str>) -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from("/etc/traefik")];
    folders.extend(lookup("XDG_CONFIG_HOME").map(PathBuf::from));
    folders.extend(lookup("HOME").map(|home| Path::new(home).join(".config")));
    folders.push(PathBuf::from("."));
    let files =
        folders.iter().flat_map(|folder| ENDINGS.iter().map(|end| folder.join(format!("traefik.{end}"))));
    files.into_iter().find(|file| file.is_file())
}

/// An entry point if there is none, and what others are asked at.
fn complete(statics: &mut Statics) -> Result<(), StaticError> {
    if statics.entry_points.keys().all(|name| name == "traefik") {
        let http = super::EntryPoint { address: DEFAULT_ADDRESS.to_owned(), ..super::EntryPoint::default() };
        statics.entry_points.insert("http".to_owned(), http);
    }
    let prometheus = statics.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
    let asked =
        statics.ping.as_ref().is_some_and(|ping| ping.entry_point == "traefik" && !ping.manual_routing)
            || statics.api.as_ref().is_some_and(|api| api.insecure)
            || prometheus.is_some_and(|found| found.entry_point == "traefik" && !found.manual_routing);
    if asked && !statics.entry_points.contains_key("traefik") {
        let own = super::EntryPoint { address: ":8080".to_owned(), ..super::EntryPoint::default() };
        statics.entry_points.insert("traefik".to_owned(), own);
    }
    if statics.global.not_append_x_forwarded_for {
        for entry in statics.entry_points.values_mut() {
            entry.forwarded_headers.not_append_x_forwarded_for = true;
        }
    }
    if let Some(docker) = &mut statics.providers.docker
        && docker.default_rule.is_empty()
    {
        docker.default_rule = super::DEFAULT_RULE.to_owned();
    }
    if let Some(tracing) = &mut statics.tracing
        && tracing.resource_attributes.is_empty()
    {
        tracing.resource_attributes.clone_from(&tracing.global_attributes);
    }
    if let Some(api) = &statics.api {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.:~-".contains(&byte);
        if !api.base_path.starts_with('/') || !api.base_path.bytes().all(sound) {
            return Err(StaticError::BasePath { path: api.base_path.clone() });
        }
    }
    Ok(())
}
