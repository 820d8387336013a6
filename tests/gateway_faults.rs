//! The embedded gateway where the machine fails it: no descriptors, no room for logs, names that lead elsewhere.
//!
//! It runs as a process of its own, `mesh service gateway`, with a mount namespace of its own where files are to fail.

mod harness;

use harness::{is_root, kill, within};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A gateway with an entry point `web`.
struct Gateway {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    web: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        kill(self.child.id());
        // It has ended then.
        let _ = self.child.wait();
    }
}

impl Gateway {
    /// Starts one behind a line of a shell, such as `ulimit -n 64`.
    fn start(before: &str, flags: &[&str]) -> Self {
        // A port that is free now: where it listens cannot be read from a log that is in a file.
        let web = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let line = format!("{before}\nexec \"$0\" service gateway -- \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", &line, env!("CARGO_BIN_EXE_mesh")]);
        command.arg(format!("--entryPoints.web.address={web}")).args(flags);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a shell");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = said.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("whole").push(line);
            }
        });
        let gateway = Self { child, said, web };
        assert!(within(20, || TcpStream::connect(web).is_ok()), "{}", gateway.told());
        gateway
    }

    /// Everything that it said on standard error.
    fn told(&self) -> String {
        self.said.lock().expect("whole").join("\n")
    }

    /// Processor time, in ticks of which a second has a hundred.
    fn ticks(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a process");
        let fields: Vec<&str> = text.rsplit(')').next().expect("fields").split_whitespace().collect();
        let number = |at: usize| fields[at].parse::<u64>().expect("a number");
        number(11) + number(12)
    }

    /// A file as the gateway sees it.
    fn sees(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").expect("a whole path");
        Path::new("/proc").join(self.child.id().to_string()).join("root").join(path)
    }

    /// The answer to a request, or why there is none.
    fn ask(&self, host: &str) -> String {
        let asked = (|| {
            let mut stream = TcpStream::connect(self.web)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        })();
        asked.unwrap_or_else(|error| error.to_string())
    }
}

#[test]
fn connections_wait_while_there_are_no_descriptors() {
    if !is_root() {
        return;
    }
    let gateway = Gateway::start("ulimit -n 64", &["--log.level=INFO"]);
    assert!(gateway.ask("a.test").starts_with("HTTP/1.1 404"));
    let open: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(gateway.web).expect("the machine takes it")).collect();
    let count = |what: &str| gateway.told().matches(what).count();
    assert!(within(10, || count("connections cannot be accepted") == 1), "{}", gateway.told());
    let (ticks, begin) = (gateway.ticks(), Instant::now());
    assert!(!within(1, || count("connections cannot be accepted") > 1), "{}", gateway.told());
    let (ticks, took) = (gateway.ticks() - ticks, begin.elapsed());
    assert!(ticks < 20, "{ticks} hundredths of a second in {took:?}");
    drop(open);
    assert!(within(10, || gateway.ask("a.test").starts_with("HTTP/1.1 404")), "{}", gateway.told());
    let over = || gateway.ask("a.test").starts_with("HTTP/1.1 404") && count("are accepted again") == 1;
    assert!(within(10, over), "{}", gateway.told());
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("a file");
    let mut size = 4_096;
    while size > 0 {
        if file.write_all(&vec![b'x'; size]).is_err() {
            size /= 2;
        }
    }
}

#[test]
fn a_full_disk_for_logs_stops_nobody() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    let (log, requests) = (folder.path().join("traefik.log"), folder.path().join("access.log"));
    let gateway = Gateway::start(
        &format!("mount -t tmpfs -o size=64k none '{at}'"),
        &[
            "--log.level=WARN",
            &format!("--log.filePath={}", log.display()),
            &format!("--accessLog.filePath={}", requests.display()),
        ],
    );
    let read = |path: &Path| fs::read_to_string(gateway.sees(path)).expect("a log");
    assert!(gateway.ask("a.test").starts_with("HTTP/1.1 404"));
    assert!(within(10, || read(&requests).lines().count() == 1));
    let filled = gateway.sees(&folder.path().join("filled"));
    fill(&filled);
    // More than the pages that the logs have already.
    for _ in 0..200 {
        assert!(gateway.ask("a.test").starts_with("HTTP/1.1 404"));
    }
    let told = || gateway.told().matches("cannot be written").count();
    assert!(within(10, || told() > 0), "{}", gateway.told());
    fs::remove_file(&filled).expect("room");
    assert!(gateway.ask("after.test").starts_with("HTTP/1.1 404"));
    assert!(within(10, || read(&log).contains("the access log can be written again")), "{}", read(&log));
    assert_eq!(
        told() + read(&log).matches("cannot be written").count(),
        1,
        "{}{}",
        gateway.told(),
        read(&log)
    );
    for _ in 0..3 {
        assert!(gateway.ask("after.test").starts_with("HTTP/1.1 404"));
    }
    let whole = |line: &&str| line.starts_with("127.0.0.1 - - ") && line.ends_with("ms");
    assert!(
        within(10, || read(&requests).lines().rev().take_while(whole).count() >= 4),
        "{}",
        read(&requests)
    );
    let torn = read(&requests).lines().filter(|line| !whole(line)).count();
    assert!(torn <= 1, "{}", read(&requests));
}

/// A server that says a word to everybody, at an address, until its sender is dropped.
fn server(address: SocketAddr, word: &'static str) -> (SocketAddr, Arc<()>) {
    let listener = TcpListener::bind(address).expect("an address");
    listener.set_nonblocking(true).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    thread::spawn(move || {
        let mut open = Vec::new();
        while watched.strong_count() > 0 {
            let Ok((mut stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(2));
                continue;
            };
            stream.set_nonblocking(false).expect("a stream");
            let mut head = [0; 4_096];
            // The connection stays, as it does with most servers.
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                let length = word.len();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{word}");
            }
            open.push(stream);
        }
    });
    (address, alive)
}

#[test]
fn a_name_that_leads_elsewhere_is_followed() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (hosts, routes) = (folder.path().join("hosts"), folder.path().join("routes.yml"));
    let (first, alive) = server("127.0.0.1:0".parse().expect("an address"), "first");
    let (_, _second) = server(SocketAddr::new([127, 0, 0, 2].into(), first.port()), "second");
    let text = format!(
        "http: {{routers: {{a: {{rule: 'PathPrefix(`/`)', service: s}}}}, services: {{s: {{loadBalancer: {{servers: \
         [{{url: 'http://moves.test:{}'}}]}}}}}}}}\n",
        first.port()
    );
    fs::write(&routes, text).expect("written");
    fs::write(&hosts, "127.0.0.1 localhost moves.test\n").expect("written");
    let bind = format!("mount --bind '{}' /etc/hosts", hosts.display());
    let gateway = Gateway::start(&bind, &[&format!("--providers.file.filename={}", routes.display())]);
    assert!(within(10, || gateway.ask("a.test").ends_with("first")), "{}", gateway.ask("a.test"));
    // As when a container takes the place of another one: the address is gone, and the name is another's.
    fs::write(&hosts, "127.0.0.1 localhost\n127.0.0.2 moves.test\n").expect("written");
    drop(alive);
    let begin = Instant::now();
    assert!(within(10, || gateway.ask("a.test").ends_with("second")), "{}", gateway.ask("a.test"));
    println!("the new address was found after {:?}", begin.elapsed());
}

/// How many connections are open and idle.
const IDLE: usize = 10_000;
/// Descriptors for them, and for all else.
const DESCRIPTORS: u32 = 11_000;
/// Most KiB of memory that one of them may cost, in a build that is not optimized.
const IDLE_KIB_MAX: u64 = 48;

#[test]
fn ten_thousand_idle_connections_keep_nobody_from_being_served() {
    if !is_root() {
        return;
    }
    let limit = format!("--nofile={DESCRIPTORS}:");
    let raised = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &limit]).status();
    if !raised.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no {DESCRIPTORS} files may be open");
        return;
    }
    let gateway = Gateway::start(&format!("ulimit -n {DESCRIPTORS}"), &["--log.level=INFO"]);
    let resident = || {
        let text = fs::read_to_string(format!("/proc/{}/status", gateway.child.id())).expect("a process");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    assert!(gateway.ask("a.test").starts_with("HTTP/1.1 404"));
    let before = resident();
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut stream = TcpStream::connect(gateway.web).expect("the machine takes it");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("written");
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).expect("an answer");
        assert!(answer[..read].starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
        open.push(stream);
    }
    let each = resident().saturating_sub(before) / u64::try_from(IDLE).expect("a number");
    let begin = Instant::now();
    for _ in 0..20 {
        assert!(gateway.ask("a.test").starts_with("HTTP/1.1 404"), "{}", gateway.told());
    }
    println!("{IDLE} idle connections cost {each} KiB each; 20 more requests took {:?}", begin.elapsed());
    assert!(each <= IDLE_KIB_MAX, "{each} KiB each");
    drop(open);
    assert!(within(10, || gateway.ask("a.test").starts_with("HTTP/1.1 404")), "{}", gateway.told());
}
