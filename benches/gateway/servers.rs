//! The gateways that are measured, each configured to do the same: names to one server, plain and over TLS, with
//! `X-Forwarded-For`, and a header that says which configuration is in force.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a gateway may take until it does as it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mesh,
    Nginx,
    Haproxy,
    Caddy,
    Traefik,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Mesh, Self::Nginx, Self::Haproxy, Self::Caddy, Self::Traefik];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
        }
    }

    /// Its program: as `MESH_GATEWAY_<NAME>` says, or as it is found; none where it is not there.
    fn program(self) -> Option<PathBuf> {
        let variable = format!("MESH_GATEWAY_{}", self.name().to_uppercase());
        if let Some(named) = std::env::var_os(variable) {
            return Some(named.into());
        }
        if self == Self::Mesh {
            return Some(env!("CARGO_BIN_EXE_mesh").into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        folders.map(|folder| folder.join(self.name())).find(|program| program.is_file())
    }
}

/// What a gateway is configured with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) origin: SocketAddr,
    /// Names that are routed.
    pub(crate) routers: usize,
    /// What its answers say which configuration they are by.
    pub(crate) version: usize,
}

impl Setup {
    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.routers).map(crate::host)
    }
}

/// A gateway that runs on one core.
pub(crate) struct Gateway {
    pub(crate) kind: Kind,
    pub(crate) plain: u16,
    pub(crate) secure: u16,
    admin: u16,
    folder: tempfile::TempDir,
    program: PathBuf,
    child: Child,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let pids = self.processes();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Workers of a process that was killed are nobody's.
        for pid in &pids[1..] {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Gateway {
    /// Starts it, if its program is there.
    pub(crate) fn start(kind: Kind, core: usize, setup: &Setup) -> Option<Self> {
        let program = kind.program()?;
        let folder = tempfile::TempDir::with_prefix("mesh-gateway-bench-").unwrap();
        let [plain, secure, admin] = [free_port(), free_port(), free_port()];
        certificate(folder.path());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        write(kind, folder.path(), [plain, secure, admin], setup);
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(&program)
            .args(arguments(kind, folder.path(), [plain, secure]))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut gateway = Self { kind, plain, secure, admin, folder, program, child };
        gateway.until_version(setup);
        Some(gateway)
    }

    /// Puts another configuration in force while it runs.
    pub(crate) fn reload(&mut self, setup: &Setup) {
        write(self.kind, self.folder.path(), [self.plain, self.secure, self.admin], setup);
        let signal = |name: &str| {
            let done = Command::new("kill").args([name, &self.child.id().to_string()]).status();
            assert!(done.unwrap().success());
        };
        match self.kind {
            Kind::Mesh | Kind::Traefik => {}
            Kind::Nginx => signal("-HUP"),
            Kind::Haproxy => self.told_haproxy(),
            Kind::Caddy => {
                let text = fs::read_to_string(self.folder.path().join("Caddyfile")).unwrap();
                let head = format!(
                    "POST /load HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: text/caddyfile\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    self.admin,
                    text.len()
                );
                let answer = exchange(self.admin, &(head + &text)).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        }
        self.until_version(setup);
    }

    /// By its master's own socket: a signal that comes just before the master falls asleep waits for the next one.
    fn told_haproxy(&self) {
        let begun = Instant::now();
        let socket = self.folder.path().join("master.sock");
        let tell = || {
            let mut stream = UnixStream::connect(&socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"reload\n")?;
            // It ends when the master begins anew.
            stream.read_to_end(&mut Vec::new())
        };
        // While a master begins, nobody is there.
        while let Err(error) = tell() {
            assert!(begun.elapsed() < PATIENCE, "{}: {error}", socket.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_version(&mut self, setup: &Setup) {
        let begun = Instant::now();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", crate::HOST);
        let wanted = format!("x-version: {}\r\n", setup.version);
        while !exchange(self.plain, &request).is_ok_and(|answer| answer.to_lowercase().contains(&wanted)) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "{}: {}", self.program.display(), log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Itself and its workers.
    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            next += 1;
        }
        found
    }

    /// What all its processes have in memory, in megabytes; what they share is counted once (`Pss`).
    pub(crate) fn resident_megabytes(&self) -> f64 {
        let of = |pid: &u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
            line.split_whitespace()
                .next()
                .and_then(|kilobytes| kilobytes.parse::<f64>().ok())
                .unwrap_or_default()
        };
        self.processes().iter().map(of).sum::<f64>() / 1024.0
    }

    /// User's and system's seconds of all its processes so far.
    pub(crate) fn processor_seconds(&self) -> f64 {
        // Of each thread the first figure is nanoseconds on the core.
        let nanoseconds = |thread: fs::DirEntry| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        let of = |pid: &u32| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            threads.filter_map(nanoseconds).sum::<f64>()
        };
        self.processes().iter().map(of).sum::<f64>() / 1e9
    }
}

/// Sends a request on a connection of its own, and reads the answer to its end.
fn exchange(port: u16, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A certificate for all names that are asked for, as good for each gateway: wrk gives the address as the name.
fn certificate(folder: &Path) {
    let names = [crate::HOST, "*.test", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(folder.join("both.pem"), format!("{certificate}{key}")).unwrap();
    fs::write(folder.join("cert.pem"), certificate).unwrap();
    fs::write(folder.join("key.pem"), key).unwrap();
}

fn arguments(kind: Kind, folder: &Path, [plain, secure]: [u16; 2]) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let words = match kind {
        Kind::Mesh | Kind::Traefik => {
            let mut words = vec![
                format!("--entrypoints.plain.address=127.0.0.1:{plain}"),
                format!("--entrypoints.secure.address=127.0.0.1:{secure}"),
                "--entrypoints.secure.http.tls=true".to_owned(),
                format!("--providers.file.filename={}", file("routes.yaml")),
                "--log.level=ERROR".to_owned(),
            ];
            if kind == Kind::Mesh {
                words.splice(0..0, ["service", "gateway", "--"].map(str::to_owned));
            } else {
                // It would wait two seconds before it looks at a file again, and keep fewer connections than the others.
                words.extend(
                    [
                        "--global.checknewversion=false",
                        "--global.sendanonymoususage=false",
                        "--providers.providersthrottleduration=1ms",
                        "--serverstransport.maxidleconnsperhost=512",
                    ]
                    .map(str::to_owned),
                );
            }
            return words;
        }
        Kind::Nginx => vec!["-e", "stderr", "-p", ".", "-c", "nginx.conf"],
        Kind::Haproxy => vec!["-W", "-S", "unix@master.sock", "-f", "haproxy.cfg"],
        Kind::Caddy => vec!["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
    };
    words.into_iter().map(str::to_owned).collect()
}

/// Writes a file whole: no gateway ever reads half of it.
fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn write(kind: Kind, folder: &Path, [plain, secure, admin]: [u16; 3], setup: &Setup) {
    let Setup { origin, version, .. } = setup;
    let lines = |line: &dyn Fn(usize, String) -> String| -> String {
        setup.names().enumerate().map(|(number, name)| line(number, name)).collect()
    };
    match kind {
        Kind::Mesh | Kind::Traefik => {
            let routers = lines(&|number, name| {
                format!(
                    "    r{number}: {{rule: 'Host(`{name}`)', service: s{number}, middlewares: [version]}}\n"
                )
            });
            let services = lines(&|number, _| {
                format!("    s{number}: {{loadBalancer: {{servers: [{{url: 'http://{origin}'}}]}}}}\n")
            });
            let text = format!(
                "http:\n  middlewares:\n    version: {{headers: {{customResponseHeaders: {{X-Version: '{version}'}}}}}}\n  \
                 routers:\n{routers}  services:\n{services}tls:\n  stores:\n    default:\n      defaultCertificate: \
                 {{certFile: {folder}/cert.pem, keyFile: {folder}/key.pem}}\n",
                folder = folder.display()
            );
            put(&folder.join("routes.yaml"), &text);
        }
        Kind::Nginx => {
            let servers = lines(&|_, name| {
                format!(
                    "  server {{\n    listen 127.0.0.1:{plain};\n    listen 127.0.0.1:{secure} ssl http2;\n    server_name {name};\n    \
                     location / {{ proxy_pass http://origin; add_header X-Version {version}; }}\n  }}\n"
                )
            });
            let text = format!(
                "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr error;\nevents {{ worker_connections 8192; }}\n\
                 http {{\n  access_log off;\n  keepalive_requests 100000000;\n  server_names_hash_max_size 4096;\n  \
                 server_names_hash_bucket_size 128;\n  ssl_certificate cert.pem;\n  ssl_certificate_key key.pem;\n  \
                 ssl_protocols TLSv1.2 TLSv1.3;\n  upstream origin {{ server {origin}; keepalive 512; keepalive_requests 100000000; }}\n  \
                 proxy_http_version 1.1;\n  proxy_set_header Connection '';\n  proxy_set_header Host $host;\n  \
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n{servers}}}\n"
            );
            put(&folder.join("nginx.conf"), &text);
        }
        Kind::Haproxy => {
            let map = lines(&|number, name| format!("{name} b{number}\n"));
            let backends = lines(&|number, _| format!("backend b{number}\n  server s {origin}\n"));
            put(&folder.join("names.map"), &map);
            let text = format!(
                "global\n  nbthread 1\n  maxconn 8192\n  stats socket {folder}/stats.sock mode 600 level admin expose-fd listeners\ndefaults\n  mode http\n  option forwardfor\n  timeout connect 5s\n  \
                 timeout client 60s\n  timeout server 60s\n  http-reuse always\nfrontend all\n  bind 127.0.0.1:{plain}\n  \
                 bind 127.0.0.1:{secure} ssl crt {folder}/both.pem alpn h2,http/1.1\n  http-response set-header X-Version {version}\n  \
                 use_backend %[req.hdr(host),lower,map({folder}/names.map)]\n{backends}",
                folder = folder.display()
            );
            put(&folder.join("haproxy.cfg"), &text);
        }
        Kind::Caddy => {
            let sites = lines(&|_, name| {
                format!(
                    "http://{name}:{plain} {{\n  import way\n}}\nhttps://{name}:{secure} {{\n  tls cert.pem key.pem\n  import way\n}}\n"
                )
            });
            let host = crate::HOST;
            let text = format!(
                "{{\n  admin 127.0.0.1:{admin}\n  auto_https off\n  default_sni {host}\n  default_bind 127.0.0.1\n  log {{\n    level ERROR\n  }}\n}}\n\
                 (way) {{\n  header X-Version {version}\n  reverse_proxy {origin} {{\n    transport http {{\n      \
                 keepalive_idle_conns_per_host 512\n    }}\n  }}\n}}\n{sites}"
            );
            put(&folder.join("Caddyfile"), &text);
        }
    }
}
