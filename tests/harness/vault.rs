//! An embedded vault with a folder of its own, and a client of a few lines: tests and benchmarks need to know what is
//! on the wire and when.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each file that uses it uses its part")]

use serde_json::{Value, json};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A server that takes longer to say where it listens, or to answer, has hung.
const SECONDS_MAX: u64 = 60;

/// A server and its folder.
pub struct Vault {
    pub folder: TempDir,
    pub address: SocketAddr,
    child: Child,
    stdout: BufReader<ChildStdout>,
    share: String,
    pub root: String,
}

impl Vault {
    /// A server on a file, not initialized.
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("mesh-vault-").expect("a folder");
        let data = folder.path().join("data");
        Self::with(folder, &data, |vault| vault)
    }

    /// The same with its entries in `data`, by a command made of the usual one.
    pub fn with(folder: TempDir, data: &Path, wrap: impl Fn(Command) -> Command) -> Self {
        Self::listening(folder, data, "tls_disable = 1", wrap)
    }

    /// The same with what its listener is told besides its address.
    pub fn listening(
        folder: TempDir,
        data: &Path,
        listener: &str,
        wrap: impl Fn(Command) -> Command,
    ) -> Self {
        let text = format!(
            "storage \"file\" {{ path = {data:?} }}\nlistener \"tcp\" {{ address = \"127.0.0.1:0\"\n{listener} }}\n\
             pid_file = {:?}\n",
            folder.path().join("pid")
        );
        fs::write(folder.path().join("vault.hcl"), text).expect("a configuration");
        let mut child = launch(folder.path(), &wrap);
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let address = read_address(&mut stdout, folder.path());
        Self { folder, address, child, stdout, share: String::new(), root: String::new() }
    }

    /// Initializes with one share, and unseals.
    pub fn open(mut self) -> Self {
        let mut client = self.client();
        let (status, made) =
            client.call("PUT", "sys/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1})));
        assert_eq!(status, 200, "{made}");
        self.share = made["keys"][0].as_str().expect("a share").to_owned();
        self.root = made["root_token"].as_str().expect("a token").to_owned();
        self.unseal();
        let options = json!({"type": "kv", "options": {"version": "2"}});
        let (status, body) = self.client().call("POST", "sys/mounts/secret", Some(&options));
        assert_eq!(status, 204, "{body}");
        self
    }

    pub fn unseal(&self) {
        let (status, body) = self.client().call("PUT", "sys/unseal", Some(&json!({"key": self.share})));
        assert_eq!((status, &body["sealed"]), (200, &json!(false)), "{body}");
    }

    /// A connection with the root token.
    pub fn client(&self) -> Client {
        Client::connect(self.address, &self.root).expect("a connection")
    }

    /// The server's process: not that of a command around it.
    pub fn pid(&self) -> i32 {
        let text = fs::read_to_string(self.folder.path().join("pid")).expect("a pid file");
        text.trim().parse().expect("a pid")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Ends it as a power cut would, and starts it anew.
    pub fn kill_and_restart(&mut self) {
        self.kill_and_leave_sealed();
        self.unseal();
    }

    /// The same without unsealing.
    pub fn kill_and_leave_sealed(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().expect("it ended");
        self.child = launch(self.folder.path(), &|vault| vault);
        self.stdout = BufReader::new(self.child.stdout.take().expect("its output"));
        self.address = read_address(&mut self.stdout, self.folder.path());
    }

    /// Where the server listens that a command around it has started after the one before.
    pub fn read_next_address(&mut self) {
        self.address = read_address(&mut self.stdout, self.folder.path());
        self.unseal();
    }

    /// Its end, once it was told to.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(SECONDS_MAX) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not end");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(folder: &Path, wrap: &dyn Fn(Command) -> Command) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command
        .args(["service", "vault", "--", "server"])
        .arg(format!("-config={}", folder.join("vault.hcl").display()));
    let mut command = wrap(command);
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.spawn().expect("the server starts")
}

fn read_address(stdout: &mut BufReader<ChildStdout>, folder: &Path) -> SocketAddr {
    let mut found = None;
    let mut line = String::new();
    while stdout.read_line(&mut line).expect("its output") > 0 {
        if let Some((_, rest)) = line.split_once("addr: \"") {
            found = rest.split('"').next().and_then(|address| address.parse().ok());
        }
        if line.starts_with("==> Vault server started") {
            return found.expect("an address");
        }
        line.clear();
    }
    panic!("the server ended: {}", fs::read_to_string(folder.join("log")).unwrap_or_default());
}

/// One connection that is kept.
pub struct Client {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Client {
    pub fn connect(address: SocketAddr, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(SECONDS_MAX)))?;
        Ok(Self { stream: BufReader::new(stream), token: token.to_owned() })
    }

    /// Status and body; the connection must hold.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_call(method, path, body).expect("an answer")
    }

    pub fn try_call(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<(u16, Value)> {
        let request = request(method, path, &self.token, body);
        self.send(&request)?;
        let (status, body) = self.receive()?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(request)
    }

    /// Status and bytes of the next answer.
    pub fn receive(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let buffered = self.stream.fill_buf()?;
        if let Some((status, body)) = whole_answer(buffered) {
            let answer = (status, buffered[body.clone()].to_vec());
            self.stream.consume(body.end);
            return Ok(answer);
        }
        self.receive_in_parts()
    }

    fn receive_in_parts(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let (mut status, mut length, mut chunked) = (0, 0, false);
        let mut line = Vec::with_capacity(128);
        loop {
            line.clear();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match &line[..] {
                b"\r\n" => break,
                line if status == 0 => {
                    let code = line.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
                    status = code.and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
                }
                line if line.len() > 16 && line[..15].eq_ignore_ascii_case(b"content-length:") => {
                    let text = std::str::from_utf8(&line[15..]).map_err(|_| io::ErrorKind::InvalidData)?;
                    length = text.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
                }
                line => chunked |= line.eq_ignore_ascii_case(b"transfer-encoding: chunked\r\n"),
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        while chunked {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk[..size]);
            chunked = size > 0;
        }
        Ok((status, body))
    }
}

/// Status, and where the body is, of an answer that has a length and has arrived whole: a benchmark's client should
/// cost little beside what it measures.
pub fn whole_answer(bytes: &[u8]) -> Option<(u16, std::ops::Range<usize>)> {
    const LENGTH: &[u8] = b"content-length:";
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    let (mut at, mut length) = (0, None);
    loop {
        let end = at + bytes[at..].iter().position(|byte| *byte == b'\n')? + 1;
        let line = &bytes[at..end];
        at = end;
        if line == b"\r\n" {
            break;
        }
        if line.len() > LENGTH.len() && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH) {
            length = Some(std::str::from_utf8(&line[LENGTH.len()..]).ok()?.trim().parse::<usize>().ok()?);
        }
    }
    let body = at..at + length?;
    (body.end <= bytes.len()).then_some((status, body))
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let token = if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") };
    let length = body.len();
    format!("{method} /v1/{path} HTTP/1.1\r\nHost: vault\r\n{token}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A path that the server's folder has.
pub fn store_of(vault: &Vault) -> PathBuf {
    vault.folder.path().join("data/vault.redb")
}
