//! Volumes, binds, tmpfs, and secrets and configs as files.

use super::{flag, items, number, size, text};
use crate::{
    canonical::clean,
    context::{At, Context},
    node::Node,
    resolve::is_windows_path,
    value,
};
use mesh_model::mount::{FileMount, Mount, MountSource};
use std::path::PathBuf;

/// Mode of a secret or a config when the file names none.
const FILE_MODE_DEFAULT: u32 = 0o444;

pub(super) fn mounts(node: &Node, cx: &mut Context) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = items(node.get("volumes")).filter_map(|node| volume(node, cx)).collect();
    for item in items(node.get("tmpfs")) {
        if let Some(mount) = item.as_text().and_then(|text| tmpfs(text, item.at, cx)) {
            if mounts.iter().any(|known| known.target == mount.target) {
                let message = format!("something is already mounted at {}", mount.target);
                cx.error(item.at, "duplicate-mount", message);
            }
            mounts.push(mount);
        }
    }
    mounts
}

fn volume(node: &Node, cx: &mut Context) -> Option<Mount> {
    let source = text(node, "source").filter(|source| !source.is_empty());
    let target = text(node, "target")?;
    if !target.starts_with('/') {
        let message = format!("the target `{target}` of a volume is not an absolute path of the container");
        let hint = "write it as `source:/target`".to_owned();
        cx.refuse_this(node.at, "bad-volume", message, Some(hint));
        return None;
    }
    if source.as_deref().is_some_and(is_windows_path) {
        let message = format!("`{}` is a path of Windows", source.unwrap_or_default());
        cx.refuse_this(node.at, "bad-volume", message, None);
        return None;
    }
    let source = match (text(node, "type")?.as_str(), source) {
        ("bind", Some(path)) => MountSource::Bind {
            path: PathBuf::from(path),
            create: node.at_path(&["bind", "create_host_path"]).and_then(Node::as_bool).unwrap_or(true),
        },
        ("tmpfs", _) => {
            let tmpfs = node.get("tmpfs");
            let part = |key: &str| tmpfs.and_then(|tmpfs| tmpfs.get(key));
            MountSource::Tmpfs {
                size_bytes: size(part("size")).filter(|bytes| *bytes > 0),
                mode: part("mode").and_then(mode),
                uid: number(part("uid")),
                gid: number(part("gid")),
                exec: false,
            }
        }
        ("volume", Some(key)) => {
            let volume = node.get("volume");
            MountSource::Volume {
                key,
                subpath: volume.and_then(|volume| text(volume, "subpath")).filter(|path| !path.is_empty()),
                nocopy: volume.is_some_and(|volume| flag(volume, "nocopy")),
            }
        }
        ("volume", None) => MountSource::Anonymous,
        (kind, _) => {
            let message = format!("volumes of type `{kind}` are not supported");
            cx.refuse_this(node.at, "unsupported", message, None);
            return None;
        }
    };
    Some(Mount { source, target, read_only: flag(node, "read_only") })
}

/// A mode as text, in octal, or as the number that it was read as.
fn mode(node: &Node) -> Option<u32> {
    node.as_text().map_or_else(|| number(Some(node)), value::mode)
}

/// `/path:size=64m,mode=1777,uid=1,gid=1,exec,ro`.
fn tmpfs(line: &str, at: At, cx: &mut Context) -> Option<Mount> {
    let (target, options) = line.split_once(':').unwrap_or((line, ""));
    if !target.starts_with('/') {
        let message = format!("`{target}` is not an absolute path of the container");
        cx.refuse_this(at, "bad-volume", message, None);
        return None;
    }
    let (mut size_bytes, mut mode, mut uid, mut gid, mut exec, mut read_only) =
        (None, None, None, None, false, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, given) = option.split_once('=').unwrap_or((option, ""));
        let understood = match name {
            "size" => {
                size_bytes = value::bytes(given);
                size_bytes.is_some()
            }
            "mode" => {
                mode = value::mode(given);
                mode.is_some()
            }
            "uid" => {
                uid = given.parse().ok();
                uid.is_some()
            }
            "gid" => {
                gid = given.parse().ok();
                gid.is_some()
            }
            "exec" | "noexec" => {
                exec = name == "exec";
                true
            }
            "ro" | "rw" => {
                read_only = name == "ro";
                true
            }
            "nosuid" | "nodev" | "noatime" | "relatime" | "tmpcopyup" => true,
            _ => false,
        };
        if !understood {
            let hint = "the options are size, mode, uid, gid, exec, noexec, ro and rw";
            let message = format!("tmpfs option `{option}` is not understood");
            cx.refuse_this(at, "bad-value", message, Some(hint.to_owned()));
        }
    }
    let source = MountSource::Tmpfs { size_bytes, mode, uid, gid, exec };
    Some(Mount { source, target: clean(target), read_only })
}

/// Secrets or configs; a relative target is a name in `directory`.
pub(super) fn files(node: &Node, section: &str, directory: &str) -> Vec<FileMount> {
    items(node.get(section))
        .filter_map(|mount| {
            let source = text(mount, "source")?;
            let target = text(mount, "target").unwrap_or_else(|| source.clone());
            let target = if target.starts_with('/') { target } else { format!("{directory}{target}") };
            Some(FileMount {
                target: clean(&target),
                uid: text(mount, "uid"),
                gid: text(mount, "gid"),
                mode: text(mount, "mode").and_then(|text| value::mode(&text)).unwrap_or(FILE_MODE_DEFAULT),
                source,
            })
        })
        .collect()
}
