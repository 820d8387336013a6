//! The local authority in a stack: who believes the gateway, in containers and on the machine, and how that ends.

mod harness;

use harness::{Stack, is_root, kill, within};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const COMPOSE: &str = r#"
services:
  gateway:
    image: traefik:v3.6
    command:
      - --ping=true
      - --providers.docker=true
      - --entrypoints.websecure.address=:443
    ports: ["127.0.0.1::443"]
    healthcheck: {test: [CMD, traefik, healthcheck, --ping], interval: 1s, retries: 30}
  shop:
    image: traefik/whoami:v1.10
    labels:
      traefik.http.routers.shop.rule: Host(`shop.example.test`)
      traefik.http.routers.shop.entrypoints: websecure
      traefik.http.routers.shop.tls: "true"
      traefik.http.services.shop.loadbalancer.server.port: "80"
  client:
    image: debian:12
    command: sleep infinity
    init: true
  wary:
    image: debian:12
    command: sleep infinity
    init: true
    x-mesh: {trust: false}
"#;

const URL: &str = "https://shop.example.test/";

/// Runs a program with a home of its own.
fn program(name: &str, home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(name);
    command.args(arguments).env("HOME", home).env_remove("SSL_CERT_FILE");
    command.output().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What curl on this machine says of the gateway, believing those in a file: the body, or why not.
fn ask(address: &str, authority: &Path) -> Result<String, String> {
    let (ip, port) = address.rsplit_once(':').expect("an address");
    let resolve = format!("shop.example.test:{port}:{ip}");
    let (url, authority) = (format!("https://shop.example.test:{port}/"), authority.display().to_string());
    let words = ["-sS", "-m", "10", "--cacert", &authority, "--resolve", &resolve, &url];
    let output = program("curl", Path::new("/"), &words);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn printed(stack: &Stack) -> PathBuf {
    stack.write("authority.crt", &stack.mesh(&["trust", "--print"]).succeeded().stdout);
    stack.directory().join("authority.crt")
}

fn up(compose: &str) -> Option<Stack> {
    if !is_root() {
        return None;
    }
    let stack = Stack::new(compose);
    stack.up();
    Some(stack)
}

#[test]
fn containers_believe_the_gateway_and_those_that_do_not_want_to_do_not() {
    let Some(stack) = up(COMPOSE) else { return };
    let authority = printed(&stack);
    let address = stack.port("gateway", 443);
    let believed = || ask(&address, &authority).is_ok_and(|body| body.contains("X-Forwarded-Proto: https"));
    assert!(
        within(15, believed),
        "{:?} {}",
        ask(&address, &authority),
        stack.mesh(&["logs", "gateway"]).text()
    );
    assert!(
        ask(&address, Path::new("/etc/ssl/certs/ca-certificates.crt")).is_err(),
        "the machine does not trust it"
    );

    // By the bundle, by OpenSSL's folder of hashes, and by the variables.
    let inside = |service: &str, line: &str| stack.shell(service, &format!("{{ {line}; }} 2>&1 || true"));
    assert!(inside("client", &format!("curl -sS -m 10 {URL}")).contains("X-Forwarded-Proto: https"));
    let openssl = "openssl s_client -connect shop.example.test:443 -servername shop.example.test \
                   -verify_hostname shop.example.test -verify_return_error < /dev/null";
    assert!(
        inside("client", openssl).contains("Verify return code: 0 (ok)"),
        "{}",
        inside("client", openssl)
    );
    let wget = format!("wget -q -O - {URL}");
    assert!(inside("client", &wget).contains("X-Forwarded-Proto: https"), "{}", inside("client", &wget));
    let variables =
        inside("client", "echo $NODE_EXTRA_CA_CERTS $REQUESTS_CA_BUNDLE; cat $NODE_EXTRA_CA_CERTS");
    assert!(
        variables.starts_with("/run/mesh/authority.pem /etc/ssl/certs/ca-certificates.crt"),
        "{variables}"
    );
    assert!(variables.contains(fs::read_to_string(&authority).expect("there").trim()));
    assert!(inside("client", "touch /etc/ssl/certs/ca-certificates.crt").contains("Read-only"));
    // What the image trusted is trusted on.
    let count = inside("client", "grep -c BEGIN $REQUESTS_CA_BUNDLE").trim().parse::<usize>();
    assert!(count.as_ref().is_ok_and(|count| *count > 50), "{count:?}");
    let wary = inside("wary", &format!("curl -sS -m 10 {URL}"));
    assert!(wary.contains("certificate"), "{wary}");
    assert_eq!(inside("wary", "echo $NODE_EXTRA_CA_CERTS; ls /run/mesh || true").lines().next(), Some(""));

    // The root's key is in no container, and the gateway's is its own.
    let found = |service: &str| inside(service, "cat /run/mesh/*/*.pem /run/mesh/*.pem");
    assert!(!found("client").contains("PRIVATE") && found("gateway").contains("PRIVATE"));
    assert_eq!(inside("gateway", "stat -c %a /run/mesh/told/authority.pem").trim(), "600");
    let root = stack.home().join("data/authority/local.pem");
    let key = fs::read_to_string(&root).expect("a root");
    assert_eq!(fs::metadata(&root).expect("there").permissions().mode() & 0o777, 0o600);
    let line = key.lines().nth(1).expect("a line of the key");
    assert!(!found("gateway").contains(line));

    // A supervisor that is killed, and a start anew, change nothing for anybody.
    kill(stack.supervisor().expect("a supervisor"));
    stack.mesh(&["restart", "client", "gateway"]).succeeded();
    let again = || inside("client", &format!("curl -sS -m 10 {URL}")).contains("X-Forwarded-Proto: https");
    assert!(within(15, again), "{}", inside("client", &format!("curl -sS {URL}")));
    let address = stack.port("gateway", 443);
    assert!(within(15, || ask(&address, &authority).is_ok()), "{:?}", ask(&address, &authority));
}

#[test]
fn names_of_the_world_have_a_root_of_their_own() {
    let Some(stack) = up(&COMPOSE.replace("shop.example.test", "shop.example")) else { return };
    let root = stack.home().join("data/authority/projects").join(format!("{}.pem", stack.name()));
    assert!(within(15, || root.exists()));
    let text =
        program("openssl", stack.home(), &["x509", "-noout", "-text", "-in", &root.display().to_string()]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("DNS:shop.example") && !text.contains("DNS:example"), "{text}");
    // It came after the client's start, and was added to what that trusts.
    let inside = || stack.shell("client", "curl -sS -m 10 https://shop.example/ 2>&1 || true");
    assert!(within(15, || inside().contains("X-Forwarded-Proto: https")), "{}", inside());
    // Two are printed: the one for everything local too.
    let printed = stack.mesh(&["trust", "--print"]).succeeded().stdout;
    assert_eq!(printed.matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn names_come_to_the_hosts_file_and_leave_it() {
    let Some(stack) = up(COMPOSE) else { return };
    let before = "127.0.0.1 localhost\n# \u{e9} and no end";
    stack.write("hosts", before);
    let path = stack.directory().join("hosts").display().to_string();
    let content = || fs::read_to_string(&path).expect("there");
    let printed = || stack.mesh(&["hosts"]).succeeded().stdout;
    assert!(within(15, || printed().contains("shop.example.test")), "{}", printed());
    assert!(printed().contains("127.0.0.1 shop.example.test\n"), "{}", printed());
    let write = ["hosts", "--write", "--yes", "--hosts-file", path.as_str()];
    stack.mesh(&["--dry-run", "hosts", "--write", "--hosts-file", &path]).succeeded();
    stack.mesh(&["hosts", "--write", "--hosts-file", &path]).failed_saying(&["nothing was written"]);
    assert_eq!(content(), before);
    for _ in 0..2 {
        stack.mesh(&write).succeeded();
        assert!(content().starts_with(before) && content().matches("shop.example.test").count() == 1);
    }
    stack.mesh(&["hosts", "--remove", "--hosts-file", &path]).failed_saying(&["nothing was removed"]);
    stack.mesh(&["hosts", "--remove", "--yes", "--hosts-file", &path]).succeeded();
    assert_eq!(content(), before);
}

/// Stores of the machine as they are, for the commands of one shell alone.
const STORES_OF_ITS_OWN: &str = r#"
set -e
exec 2>&1
cp -a /etc/ssl/certs "$FOLDER/certs"
cp -a /usr/local/share/ca-certificates "$FOLDER/anchors"
mount --bind "$FOLDER/certs" /etc/ssl/certs
mount --bind "$FOLDER/anchors" /usr/local/share/ca-certificates
"#;

/// In stores and a home of its own: curl by the machine's store, Chromium by the browser's, and neither once all of
/// it was taken back.
#[test]
fn the_machine_and_its_browser_believe_the_gateway_until_that_is_taken_back() {
    let missing = ["update-ca-certificates", "unshare", "certutil", "chromium"]
        .into_iter()
        .find(|name| !Command::new("which").arg(name).output().is_ok_and(|found| found.status.success()));
    if let Some(name) = missing {
        harness::archive::skipped(name);
        return;
    }
    let Some(stack) = up(COMPOSE) else { return };
    let (authority, address) = (printed(&stack), stack.port("gateway", 443));
    assert!(within(15, || ask(&address, &authority).is_ok()), "{:?}", ask(&address, &authority));
    let port = address.rsplit_once(':').expect("a port").1;
    let look = format!(
        r#"
curl -sS -m 10 --resolve shop.example.test:{port}:127.0.0.1 https://shop.example.test:{port}/ > "$FOLDER/curl" 2>&1 || true
timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$FOLDER/profile" --dump-dom \
  --host-resolver-rules="MAP shop.example.test 127.0.0.1" https://shop.example.test:{port}/ > "$FOLDER/dom" 2> "$FOLDER/said" || true
cat "$FOLDER/curl" "$FOLDER/dom"
grep -o 'net::ERR_CERT[A-Z_]*' "$FOLDER/said" || true
"#
    );
    let folder = stack.directory().join("stores");
    fs::create_dir_all(folder.join("home")).expect("a folder");
    let run = |words: &str| {
        let mesh = env!("CARGO_BIN_EXE_mesh");
        let script = format!("{STORES_OF_ITS_OWN}\n{words}");
        let mut shell = Command::new("unshare");
        shell.args(["-m", "--propagation", "private", "sh", "-c", &script]).current_dir(stack.directory());
        shell.env("MESH_HOME", stack.home()).env("HOME", folder.join("home"));
        shell.env("FOLDER", &folder).env("MESH", mesh);
        let output = shell.output().expect("unshare runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        text
    };
    let name = stack.name();
    let whole = format!(
        r#"
"$MESH" -p {name} trust --yes
"$MESH" -p {name} trust --yes | grep . || true
echo ====
{look}
echo ====
"$MESH" -p {name} trust --remove --yes
{look}
ls /usr/local/share/ca-certificates
certutil -L -d "sql:$HOME/.pki/nssdb"
"#
    );
    let told = run(&whole);
    let parts: Vec<&str> = told.split("====").collect();
    assert!(parts[0].contains("Done: put mesh-authority-"), "{told}");
    assert_eq!(parts[1].matches("X-Forwarded-Proto: https").count(), 2, "curl and Chromium: {told}");
    assert!(!parts[1].contains("ERR_CERT"), "{told}");
    assert!(
        !parts[2].contains("X-Forwarded-Proto") && parts[2].contains("ERR_CERT_AUTHORITY_INVALID"),
        "{told}"
    );
    assert!(!parts[2].contains("mesh-authority-") || parts[2].contains("Done: remove"), "{told}");
    let files = fs::read_dir("/usr/local/share/ca-certificates").into_iter().flatten().flatten();
    assert_eq!(files.filter(|file| file.file_name().to_string_lossy().starts_with("mesh-")).count(), 0);
}
