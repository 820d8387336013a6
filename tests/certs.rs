//! Certificates of running services: renewed in time by the supervisor, without a restart, and told by `mesh certs`.

mod harness;

use harness::{Stack, is_root, within};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
};

/// Life of a certificate here, in seconds, and the part of it in which it is renewed.
const LIFE: u64 = 60;
const BEFORE: u64 = 35;
/// Longest wait for a renewal that is due, in seconds.
const RENEWED_MAX: u64 = 60;

/// `stacks/devstack` with certificates that last a minute.
fn stack_of_short_lives() -> Stack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/devstack");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file of the stack");
    let compose = read("compose.yaml").replace("name: devstack\n", "");
    assert!(compose.contains("before: 30d"));
    let mut stack = Stack::new(&compose.replace("before: 30d", &format!("before: {BEFORE}s")));
    for file in ["start.sh", "open-vault.sh", "vault.hcl", "prometheus.yml"] {
        stack.write(file, &read(file));
    }
    let plan = read("vault.toml");
    assert!(plan.contains("leaf-ttl = \"8760h\""));
    stack.write("vault.toml", &plan.replace("leaf-ttl = \"8760h\"", &format!("leaf-ttl = \"{LIFE}s\"")));
    stack.set("MESH_PORTS", "auto");
    stack
}

/// What `mesh certs ls` says of a service's certificate.
fn certificate(stack: &Stack, service: &str) -> Value {
    let listed = stack.mesh(&["certs", "ls", "--format", "json", service]).succeeded();
    serde_json::from_str(listed.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {}", listed.text()))
}

fn serial(stack: &Stack, service: &str) -> String {
    let found = certificate(stack, service);
    found["Serial"].as_str().unwrap_or_else(|| panic!("{found}")).to_owned()
}

/// The serial of what a server shows to a new connection, as `certs ls` writes it.
fn served(stack: &Stack, service: &str, how: &str) -> String {
    let line =
        format!("openssl s_client -connect {how} < /dev/null 2> /dev/null | openssl x509 -noout -serial");
    let said = stack.shell(service, &line);
    let digits = said.trim().trim_start_matches("serial=").to_ascii_lowercase();
    let pairs: Vec<&str> = (0..digits.len() / 2).map(|at| &digits[2 * at..2 * at + 2]).collect();
    pairs.join(":")
}

#[test]
fn a_certificate_is_renewed_before_it_expires_and_nothing_is_restarted() {
    if !is_root() {
        return;
    }
    let stack = stack_of_short_lives();
    stack.mesh(&["--profile", "minimal", "up", "--wait"]).succeeded();
    let services = [("postgres", "127.0.0.1:5432 -starttls postgres"), ("redis-1", "127.0.0.1:6380")];
    let first = services.map(|(service, how)| {
        let serial = serial(&stack, service);
        assert_eq!(served(&stack, service, how), serial, "{service}");
        (stack.container(service)["ID"].clone(), stack.shell(service, "stat -c %Y /proc/1"), serial)
    });
    let found = certificate(&stack, "postgres");
    assert_eq!(found["Subject"], "CN=postgres");
    assert!(found["Names"].as_array().expect("names").contains(&"172.20.2.10".into()), "{found}");

    // A session that stays, with TLS.
    let password = stack.mesh(&["vault", "show-password", "postgres"]).succeeded().stdout;
    let line = "read -r PGPASSWORD; export PGPASSWORD; exec psql -At 'host=127.0.0.1 user=dev_admin \
                dbname=dev_database sslmode=require'";
    let mut session = stack
        .command(&["exec", "-T", "postgres", "bash", "-c", line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql");
    let mut said = BufReader::new(session.stdout.take().expect("piped"));
    let mut asked = session.stdin.take().expect("piped");
    let mut ask = |text: &str| {
        writeln!(asked, "{text}").expect("psql listens");
        let mut line = String::new();
        said.read_line(&mut line).expect("psql answers");
        line.trim().to_owned()
    };
    let backend = ask(&format!("{}\nselect pg_backend_pid();", password.trim()));
    assert!(backend.parse::<u32>().is_ok(), "{backend}");

    for ((service, how), (id, started, before)) in services.iter().zip(&first) {
        let renewed = || serial(&stack, service) != *before;
        assert!(within(LIFE + RENEWED_MAX, renewed), "{service} keeps {before}");
        // The command that writes it is followed by the one that tells the server.
        let loaded = || served(&stack, service, how) == serial(&stack, service);
        assert!(within(RENEWED_MAX, loaded), "{service} shows an old one");
        assert_eq!(stack.container(service)["ID"], *id);
        assert_eq!(stack.shell(service, "stat -c %Y /proc/1"), *started, "{service} was restarted");
    }
    assert_eq!(ask("select pg_backend_pid();"), backend, "the session was broken");
    drop(asked);
    session.wait().expect("psql ends");
    let events = stack.mesh(&["events", "--since", "10m", "--until", "0s"]).succeeded();
    assert!(events.stdout.contains("certificate: renewed"), "{}", events.text());

    renewals_by_hand(&stack);
    a_failure_is_told(&stack);
}

/// `certs renew` and its rehearsal.
fn renewals_by_hand(stack: &Stack) {
    let before = serial(stack, "redis-1");
    let told = stack.mesh(&["--dry-run", "certs", "renew", "--force", "redis-1"]).succeeded();
    assert!(told.stdout.contains("would be renewed"), "{}", told.text());
    assert_eq!(serial(stack, "redis-1"), before);
    let told = stack.mesh(&["certs", "renew", "--force", "redis-1"]).succeeded();
    assert!(told.stderr.contains("was renewed"), "{}", told.text());
    let after = serial(stack, "redis-1");
    assert_ne!(after, before);
    assert_eq!(served(stack, "redis-1", "127.0.0.1:6380"), after);
    stack
        .mesh(&["certs", "renew", "vault"])
        .failed_saying(&["no certificate of a running service can be renewed"]);
    stack.mesh(&["certs", "renew", "postgress"]).failed_saying(&["no such service", "postgres"]);
    let check = stack.mesh(&["certs", "check", "--within", "1s"]);
    assert_eq!((check.code, check.stdout.starts_with("OK - 2 good")), (0, true), "{}", check.text());
    let check = stack.mesh(&["certs", "check", "--json", "--within", "2h"]);
    let told: Value = serde_json::from_str(&check.stdout).expect("JSON");
    assert_eq!((check.code, &told["State"]), (1, &Value::from("WARNING")), "{}", check.text());
}

/// A file that holds no certificate, and a vault that does not answer: both are seen, and pass.
fn a_failure_is_told(stack: &Stack) {
    stack.mesh(&["exec", "-T", "redis-1", "bash", "-c", "echo broken > /run/tls/server.crt"]).succeeded();
    let check = stack.mesh(&["certs", "check", "redis-1"]);
    assert_eq!(
        (check.code, check.stdout.starts_with("UNKNOWN - 1 unreadable")),
        (3, true),
        "{}",
        check.text()
    );
    stack.mesh(&["certs", "renew", "redis-1"]).succeeded();
    assert_eq!(served(stack, "redis-1", "127.0.0.1:6380"), serial(stack, "redis-1"));

    stack.mesh(&["pause", "vault"]).succeeded();
    let told = stack.mesh(&["certs", "renew", "--force", "postgres"]);
    assert!(told.code != 0 && told.text().contains("renew of /run/tls/server.crt"), "{}", told.text());
    let shown = stack.mesh(&["ps", "postgres"]).succeeded();
    assert!(shown.stdout.contains("renew of /run/tls/server.crt"), "{}", shown.text());
    stack.mesh(&["unpause", "vault"]).succeeded();
    let passed = || !stack.mesh(&["ps", "postgres"]).stdout.contains("renew of");
    assert!(within(RENEWED_MAX + LIFE, passed), "the trouble stays");
}
