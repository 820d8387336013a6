//! What a group uses now.

use super::{Controller, Group};
use std::{fs, path::Path};

/// What a group uses; 0 where it is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in bytes, without the page cache that is not in use.
    pub memory_bytes: u64,
    /// Limit of memory in bytes; `None`: none.
    pub memory_limit_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from block devices.
    pub block_read_bytes: u64,
    /// Bytes written to block devices.
    pub block_written_bytes: u64,
}

/// Version 1 writes "no limit" as a number near the largest, rounded to pages.
const NO_LIMIT_BYTES_MIN: u64 = 1 << 62;

pub(super) fn read(group: &Group) -> Usage {
    let mut usage = Usage::default();
    if let Some((directory, unified)) = group.directory(Controller::Memory) {
        let (current, limit, inactive) = if unified {
            ("memory.current", "memory.max", "inactive_file")
        } else {
            ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
        };
        let cache = keyed(&directory.join("memory.stat"), inactive).unwrap_or(0);
        usage.memory_bytes = number(&directory.join(current)).unwrap_or(0).saturating_sub(cache);
        usage.memory_limit_bytes = number(&directory.join(limit)).filter(|limit| *limit < NO_LIMIT_BYTES_MIN);
    }
    usage.cpu_ns = cpu_ns(group).unwrap_or(0);
    if let Some((directory, _)) = group.directory(Controller::Pids) {
        usage.pids = number(&directory.join("pids.current")).unwrap_or(0);
    }
    if let Some((directory, unified)) = group.directory(Controller::Block) {
        let file = if unified { "io.stat" } else { "blkio.throttle.io_service_bytes" };
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        (usage.block_read_bytes, usage.block_written_bytes) =
            if unified { block_v2(&text) } else { block_v1(&text) };
    }
    usage
}

fn cpu_ns(group: &Group) -> Option<u64> {
    if let Some((directory, false)) = group.directory(Controller::CpuAccounting) {
        return number(&directory.join("cpuacct.usage"));
    }
    // `cpu.stat` has the time on version 2 even without the controller.
    let (directory, _) = group.unified_directory()?;
    Some(keyed(&directory.join("cpu.stat"), "usage_usec")?.saturating_mul(1_000))
}

pub(super) fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A number by its key, from lines of `key number`.
pub(super) fn keyed(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.split_once(' ').filter(|(name, _)| *name == key)?.1.trim().parse().ok())
}

/// Lines of `8:0 Read 123`.
fn block_v1(text: &str) -> (u64, u64) {
    let sum = |kind: &str| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let (_, name, bytes) = (words.next()?, words.next()?, words.next()?);
                (name == kind).then(|| bytes.parse::<u64>().ok())?
            })
            .fold(0, u64::saturating_add)
    };
    (sum("Read"), sum("Write"))
}

/// Lines of `8:0 rbytes=123 wbytes=4 rios=...`.
fn block_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        text.split_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
            .fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_bytes_of_all_devices_are_added() {
        assert_eq!(block_v1("8:0 Read 5\n8:0 Write 6\n8:16 Read 1\n8:0 Total 11\nTotal 12\n"), (6, 6));
        assert_eq!(block_v2("8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=1 wbytes=0\n"), (6, 6));
    }
}
