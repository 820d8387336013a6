//! The stack of athyper MESH: its environment, its databases, its cache, and the way through its gateway.

mod harness;

use harness::{Stack, is_root, within};
use std::{fs, path::Path, process::Command};

/// Ports of the machine's choosing, so that one that runs already is not in the way.
const PORTS: [&str; 8] = [
    "MESH_DB_PORT",
    "MESH_DBPOOL_APPS_PORT",
    "MESH_DBPOOL_AUTH_PORT",
    "MESH_MEMORYCACHE_PORT",
    "MESH_GATEWAY_HTTP_PORT",
    "MESH_GATEWAY_HTTPS_PORT",
    "MESH_GATEWAY_DASHBOARD_PORT",
    "MESH_MAIL_PORT",
];

fn copy(from: &Path, stack: &Stack, below: &str) {
    for entry in fs::read_dir(from).expect("a folder of the stack").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let place = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            copy(&entry.path(), stack, &place);
        } else if place != ".env" {
            stack.write(&place, &fs::read_to_string(entry.path()).expect("a text"));
        }
    }
}

fn curl(host: &str, address: &str, target: &str) -> String {
    let (ip, port) = address.rsplit_once(':').expect("an address");
    let asked = Command::new("curl")
        .args(["-sk", "-m", "10", "-w", "%{http_code}", "--resolve", &format!("{host}:{port}:{ip}")])
        .arg(format!("https://{host}:{port}{target}"))
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

#[test]
fn the_local_environment_comes_up_and_does_what_its_document_says() {
    if !is_root() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    let mut stack = Stack::new("");
    copy(&root.join("stacks/athyper"), &stack, "");
    for port in PORTS {
        stack.set(port, "0");
    }
    let wrong = ["--environment", "nowhere", "config", "-q"];
    stack.mesh(&wrong).failed_saying(&["nowhere", "local, production, staging"]);
    stack.mesh(&["--environment", "staging", "config", "-q"]).succeeded();
    assert!(!stack.directory().join(".env").exists(), "reading keeps nothing");
    let table = stack.mesh(&["--environment", "local", "up", "--wait"]).succeeded().text();
    for left_out in ["iam", "objectstorage", "antivirus", "mail"] {
        assert!(table.contains(left_out), "{left_out} is not told of:\n{table}");
    }
    stack.mesh(&["--environment", "staging", "ps"]).failed_saying(&[".env is for local", "move it away"]);

    // Both databases by both ways, with what the document gives for a connection.
    for (service, port, database) in [
        ("db", 5432, "athyper_dev1"),
        ("db", 5432, "athyperauth_dev1"),
        ("dbpool-apps", 6432, "athyper_dev1"),
        ("dbpool-auth", 6433, "athyperauth_dev1"),
    ] {
        let url = format!("postgresql://athyperadmin:athyperadmin@{service}:{port}/{database}");
        let line = format!("psql '{url}' -qtAXc 'select current_database()'");
        assert_eq!(stack.shell("db", &line), database, "{service}");
    }
    stack.mesh(&["init-data"]).succeeded();
    let again = stack.mesh(&["init-data"]).succeeded();
    assert!(!again.stdout.contains(".sql"), "a migration is carried out once:\n{}", again.stdout);

    let urls = stack.mesh(&["connections"]).succeeded().stdout;
    for (service, port) in [("db", 5432), ("dbpool-apps", 6432), ("dbpool-auth", 6433)] {
        let url = format!("postgresql://athyperadmin:athyperadmin@{}/", stack.port(service, port));
        assert!(urls.contains(&url), "{url} is not in {urls}");
    }
    stack.mesh(&["init-dat"]).failed_saying(&["unrecognized", "init-data", "Migrate both databases"]);

    let redis = |user: &str, line: &str| {
        let password = if user == "admin" { "redis_password" } else { "redis_app_password" };
        let login = format!("redis-cli --user {user} --pass {password} --no-auth-warning {line}");
        stack.shell("memorycache", &login)
    };
    assert_eq!(redis("app", "set athyper:a 1"), "OK");
    assert!(redis("app", "set other 1").contains("NOPERM"));
    assert!(redis("app", "subscribe news").contains("NOPERM"));
    assert!(redis("admin", "config get maxmemory").contains("104857600"));
    assert!(stack.shell("memorycache", "redis-cli ping").contains("NOAUTH"));

    // The way through the gateway, and its name inside.
    let secure = stack.port("gateway", 443);
    let through = || curl("gateway.mesh.athyper.local", &secure, "/whoami/way");
    assert!(within(20, || through().ends_with("200")), "{}", through());
    let told = through();
    for expected in ["Name: athyper local", "GET /way HTTP/1.1", "X-Forwarded-Prefix: /whoami"] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    let inside = stack.shell("dbpool-auth", "getent hosts gateway.mesh.athyper.local");
    assert!(inside.contains("gateway.mesh.athyper.local"), "{inside}");
}
