//! What `/proc` says of a container's processes and network devices.

use crate::phase::Running;
use mesh_linux::cgroup;
use mesh_runtime::observed::{ProcessStatus, Usage};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Most processes that are listed.
const PROCESSES_MAX: usize = 20_000;

/// What a container uses now, as its control group and its network devices count it. What the group does
/// not count is the sum over the container's processes, which knows nothing of those that ended.
pub(crate) fn usage(running: &Running) -> Usage {
    let mut counted = running.group.usage();
    if counted.pids == 0 {
        let summed = sum(&members(running.record.process.pid, running.spec.service.security.host_pid));
        let or = |counted: u64, summed: u64| if counted == 0 { summed } else { counted };
        counted.pids = summed.pids;
        counted.cpu_ns = or(counted.cpu_ns, summed.cpu_ns);
        counted.memory_bytes = or(counted.memory_bytes, summed.memory_bytes);
    }
    let (received, sent) = network_bytes(running.record.process.pid);
    Usage {
        cpu_ns: counted.cpu_ns,
        memory_bytes: counted.memory_bytes,
        memory_limit_bytes: counted.memory_limit_bytes.unwrap_or_else(machine_memory_bytes),
        pids: counted.pids,
        network_received_bytes: received,
        network_sent_bytes: sent,
        block_read_bytes: counted.block_read_bytes,
        block_written_bytes: counted.block_written_bytes,
    }
}

/// What processes use together. Memory that they share is divided among those that share it.
fn sum(pids: &[u32]) -> cgroup::Usage {
    let mut sum = cgroup::Usage::default();
    for pid in pids {
        let Some(stat) = stat(*pid).as_deref().and_then(parse_stat) else { continue };
        sum.cpu_ns = sum.cpu_ns.saturating_add(ms(stat.cpu_ticks).saturating_mul(1_000_000));
        sum.pids = sum.pids.saturating_add(stat.threads);
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.memory_bytes = sum.memory_bytes.saturating_add(parse_share_bytes(&memory));
    }
    sum
}

/// The line `Pss: 12 kB`.
fn parse_share_bytes(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Milliseconds of clock ticks.
fn ms(ticks: u64) -> u64 {
    let per_s = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    ticks.saturating_mul(1000) / u64::try_from(per_s).unwrap_or(100).max(1)
}

fn machine_memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Bytes received and sent on every device but loopback, as the process `pid` sees them.
fn network_bytes(pid: u32) -> (u64, u64) {
    parse_devices(&fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default())
}

fn parse_devices(text: &str) -> (u64, u64) {
    let mut sum = (0_u64, 0_u64);
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let mut fields = counters.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
        sum.0 = sum.0.saturating_add(fields.next().unwrap_or(0));
        sum.1 = sum.1.saturating_add(fields.nth(7).unwrap_or(0));
    }
    sum
}

/// Processes in the pid namespace that `first` is the first process of; with `host_pid`, `first` and
/// its descendants.
pub(crate) fn members(first: u32, host_pid: bool) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let all = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .take(PROCESSES_MAX);
    if host_pid {
        return descendants(
            first,
            all.filter_map(|pid| Some((pid, parse_stat(&stat(pid)?)?.parent))).collect(),
        );
    }
    let namespace =
        |pid: u32| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|file| (file.dev(), file.ino())).ok();
    let Some(own) = namespace(first) else { return Vec::new() };
    all.filter(|pid| namespace(*pid) == Some(own)).collect()
}

fn descendants(first: u32, parents: Vec<(u32, u32)>) -> Vec<u32> {
    let mut found = vec![first];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// What `top` shows of each of `pids`; those that are gone are left out.
pub(crate) fn processes(pids: &[u32]) -> Vec<ProcessStatus> {
    let booted_s = booted_unix_s(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let mut found: Vec<ProcessStatus> = pids
        .iter()
        .filter_map(|pid| {
            let stat = parse_stat(&stat(*pid)?)?;
            let directory = format!("/proc/{pid}");
            Some(ProcessStatus {
                uid: effective_uid(&directory)?,
                pid: *pid,
                parent_pid: stat.parent,
                started_unix_ms: booted_s * 1000 + ms(stat.start_ticks),
                cpu_ms: ms(stat.cpu_ticks),
                command: command(Path::new(&directory), &stat.name),
                terminal: terminal(stat.terminal),
            })
        })
        .collect();
    found.sort_by_key(|process| (process.started_unix_ms, process.pid));
    found
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    /// Device number of its controlling terminal; 0: none.
    terminal: u64,
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
}

/// A line of `/proc/<pid>/stat`; the name stands in parentheses and may hold any character.
fn parse_stat(line: &str) -> Option<Stat> {
    let (head, rest) = line.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first field here is the third one of proc(5).
    let number = |index: usize| fields.get(index - 3)?.parse::<u64>().ok();
    Some(Stat {
        name: name.to_owned(),
        parent: u32::try_from(number(4)?).ok()?,
        terminal: number(7)?,
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        threads: number(20)?,
        start_ticks: number(22)?,
    })
}

/// `pts/3` for a device number; `?` where there is none.
fn terminal(device: u64) -> String {
    // Pseudo terminals have the major numbers 136 to 143, and 256 of them each.
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

fn booted_unix_s(stat: &str) -> u64 {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0)
}

fn effective_uid(directory: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("{directory}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn command(directory: &Path, name: &str) -> String {
    let line = fs::read(directory.join("cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    match words.join(" ").trim_end() {
        "" => format!("[{name}]"),
        line => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_summed_without_loopback() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n\
                    \x20 eth0: 100 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  eth1: 1 1 0 0 0 0 0 0 2 1 0\n";
        assert_eq!(parse_devices(text), (101, 22));
        assert_eq!(parse_devices("eth0: x"), (0, 0));
    }

    #[test]
    fn names_of_processes_may_hold_parentheses() {
        let line = "7 (a) (b) S 1 7 7 0 -1 0 0 0 0 0 11 22 0 0 20 0 1 0 333 0";
        let want = Stat {
            name: "a) (b".to_owned(),
            parent: 1,
            terminal: 0,
            cpu_ticks: 33,
            threads: 1,
            start_ticks: 333,
        };
        assert_eq!(parse_stat(line), Some(want));
        assert_eq!(parse_stat("7 (a S 1"), None);
    }

    #[test]
    fn terminals_have_names() {
        assert_eq!([terminal(0), terminal(0x8803), terminal(0x402)], ["?", "pts/3", "tty2"]);
    }

    #[test]
    fn descendants_are_found_through_generations() {
        let mut found = descendants(2, vec![(1, 0), (2, 1), (3, 2), (4, 3), (5, 1)]);
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4]);
    }

    #[test]
    fn shares_of_memory_are_read_and_summed() {
        assert_eq!(parse_share_bytes("5-6 ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss:   12 kB\n"), 12_288);
        assert_eq!(parse_share_bytes("nothing"), 0);
        let sum = sum(&[std::process::id(), u32::MAX]);
        assert!(sum.memory_bytes > 0 && sum.pids > 0, "{sum:?}");
    }

    #[test]
    fn this_process_is_listed() {
        let own = std::process::id();
        assert!(members(own, false).contains(&own));
        let listed = processes(&[own, u32::MAX]);
        assert_eq!((listed.len(), listed[0].pid), (1, own));
        assert!(!listed[0].command.is_empty() && listed[0].started_unix_ms > 0);
    }
}
