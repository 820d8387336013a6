//! Numbers of the process itself, under the names that all of Prometheus's clients have for them.

use super::text::Text;
use std::fs;

/// What is told of the process; what the machine does not say is left out.
pub(super) fn tell(text: &mut Text) {
    let page = rustix::param::page_size() as u64;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may have anything in it.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field =
        |number: usize| rest.split_whitespace().nth(number - 3).and_then(|text| text.parse::<u64>().ok());
    let as_seconds =
        |count: u64| std::time::Duration::from_millis(count.saturating_mul(1_000) / ticks).as_secs_f64();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let help = "Total user and system CPU time spent in seconds.";
        text.single("process_cpu_seconds_total", "counter", help, as_seconds(user + system));
    }
    if let Some(bytes) = field(23) {
        text.single("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", bytes);
    }
    if let Some(pages) = field(24) {
        let help = "Resident memory size in bytes.";
        text.single("process_resident_memory_bytes", "gauge", help, pages.saturating_mul(page));
    }
    if let (Some(started), Some(booted)) = (field(22), booted()) {
        let help = "Start time of the process since unix epoch in seconds.";
        text.single("process_start_time_seconds", "gauge", help, as_seconds(started) + booted);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.single("process_open_fds", "gauge", "Number of open file descriptors.", open.count());
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.single("process_max_fds", "gauge", "Maximum number of open file descriptors.", most);
    }
}

/// When the machine started, in seconds since 1970.
fn booted() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
