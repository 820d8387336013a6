//! Whether a vault's storage outlives its containers, as far as the files say: what is moved into one that does not is
//! lost with the next `down`.

use super::KEYS_TARGET;
use mesh_model::{
    mount::{Mount, MountSource},
    project::{FileSource, Project},
    service::Service,
};
use std::{fs, path::Path};

/// Where a vault's image has its configuration.
const CONFIG_TARGET: &str = "/vault/config";
/// Where it has its logs.
const LOGS_TARGET: &str = "/vault/logs";
/// Bytes of a file of configuration.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Whether the storage of a vault's server is on a named volume or a directory of this machine. Where no configuration
/// says which path that is, any such mount that is made for nothing else counts.
pub(super) fn lasts(project: &Project, server: &Service) -> bool {
    let process = &server.process;
    let arguments: Vec<&String> = process.entrypoint.iter().chain(&process.command).flatten().collect();
    // The image's own command is a server for development, which keeps nothing.
    if arguments.is_empty() || arguments.iter().any(|argument| argument.starts_with("-dev")) {
        return false;
    }
    let mut texts = configuration(project, server);
    texts.extend(arguments.into_iter().cloned());
    if texts.iter().any(|text| text.contains("inmem")) {
        return false;
    }
    let paths: Vec<&str> = texts.iter().flat_map(|text| paths(text)).collect();
    if paths.is_empty() {
        let other = [KEYS_TARGET, CONFIG_TARGET, LOGS_TARGET];
        return server.mounts.iter().any(|mount| {
            is_kept(project, mount) && !other.iter().any(|target| is_within(&mount.target, target))
        });
    }
    paths.iter().all(|path| {
        let around = server.mounts.iter().filter(|mount| is_within(path, &mount.target));
        around.max_by_key(|mount| mount.target.len()).is_some_and(|mount| is_kept(project, mount))
    })
}

/// Whether what is written there is still there once the containers are gone.
fn is_kept(project: &Project, mount: &Mount) -> bool {
    let in_memory = |key: &String| {
        let volume = project.volumes.get(key);
        volume.is_none_or(|volume| volume.driver_opts.get("type").is_some_and(|kind| kind == "tmpfs"))
    };
    match &mount.source {
        MountSource::Volume { key, .. } => !mount.read_only && !in_memory(key),
        MountSource::Bind { path, .. } => !mount.read_only && !path.is_file(),
        MountSource::Anonymous | MountSource::Tmpfs { .. } => false,
    }
}

fn is_within(path: &str, directory: &str) -> bool {
    Path::new(path).starts_with(directory)
}

/// The texts that a server is configured by.
fn configuration(project: &Project, server: &Service) -> Vec<String> {
    let mut texts: Vec<String> = server.environment.get("VAULT_LOCAL_CONFIG").cloned().into_iter().collect();
    for mount in &server.configs {
        match project.configs.get(&mount.source) {
            Some(FileSource::File(path)) => texts.extend(read(path)),
            Some(FileSource::Content(content)) => texts.push(content.expose().clone()),
            _ => {}
        }
    }
    for mount in &server.mounts {
        let MountSource::Bind { path, .. } = &mount.source else { continue };
        if path.is_file() {
            texts.extend(read(path));
        } else if is_within(&mount.target, CONFIG_TARGET) {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            texts.extend(entries.filter_map(|entry| read(&entry.path())));
        }
    }
    texts
}

/// A file of configuration; what is none says nothing.
fn read(path: &Path) -> Option<String> {
    let is_one = path.extension().is_some_and(|extension| extension == "hcl" || extension == "json");
    let data = path.metadata().ok().filter(|data| is_one && data.is_file())?;
    (data.len() <= CONFIG_BYTES_MAX).then(|| fs::read_to_string(path).ok()).flatten()
}

/// The absolute paths that stand at a key `path`, in JSON or HCL.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("path").filter_map(|(at, key)| {
        if text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '/') {
            return None;
        }
        let rest = text[at + key.len()..].trim_start_matches('"').trim_start();
        let value = rest.strip_prefix(['=', ':'])?.trim_start().strip_prefix('"')?;
        let path = &value[..value.find('"')?];
        path.starts_with('/').then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::{is_within, paths};

    #[test]
    fn paths_of_storages_are_found_in_both_languages() {
        let hcl =
            "storage \"raft\" {\n  path    = \"/vault/file\"\n  node_id = \"a\"\n}\nmount_path = \"/no\"";
        assert_eq!(paths(hcl).collect::<Vec<_>>(), ["/vault/file"]);
        let json =
            r#"{"storage": {"file": {"path" : "/data"}}, "listener": {"tcp": {"tls_cert_file": "/x"}}}"#;
        assert_eq!(paths(json).collect::<Vec<_>>(), ["/data"]);
        for none in ["", "path", "path =", "path = \"", "path = \"relative\"", "a/path: \"/b\""] {
            assert_eq!(paths(none).count(), 0, "{none}");
        }
    }

    #[test]
    fn a_path_is_within_whole_components() {
        assert!(is_within("/vault/file/core", "/vault/file") && is_within("/vault/file", "/vault/file"));
        assert!(!is_within("/vault/files", "/vault/file"));
    }
}
