//! The stack at the repository's root, asked by its clients.

mod harness;

use harness::{Stack, is_root};
use std::{fs, path::Path, process::Command};

#[test]
fn the_hub_comes_up_and_its_servers_answer() {
    if !is_root() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    let mut stack = Stack::new("");
    for file in [
        "compose.yaml",
        "stacks/hub/compose.yaml",
        "stacks/hub/prometheus.yml",
        "stacks/hub/make-credentials.sh",
    ] {
        stack.write(file, &fs::read_to_string(root.join(file)).expect("a file of the hub"));
    }
    // Ports of the machine's choosing, so that a hub that runs already is not in the way.
    for port in ["POSTGRES", "TRANSACTION", "SESSION", "REDIS", "AMQP", "RABBITMQ", "PROMETHEUS"] {
        stack.set(&format!("HUB_{port}_PORT"), "0");
    }
    let table = stack.up().text();
    for service in [
        "postgres",
        "pgbouncer-transaction",
        "pgbouncer-session",
        "redis",
        "rabbitmq",
        "prometheus",
        "node-exporter",
        "postgres-exporter",
        "redis-exporter",
    ] {
        assert!(table.contains(service), "{service} is not in the table:\n{table}");
        let container = stack.container(service);
        assert_eq!(container["State"], "running", "{service}");
        assert_eq!(container["Health"], "healthy", "{service}");
    }
    assert_eq!(stack.container("credentials")["ExitCode"], 0);

    // Through both poolers, with the password that nobody wrote down.
    for (pooler, port) in [("pgbouncer-transaction", 6432), ("pgbouncer-session", 6433)] {
        let line = format!(
            "PGPASSWORD=$(cat /run/credentials/password) psql -h {pooler} -p {port} -U hub -d hub -qtAX -c 'select 40 + 2'"
        );
        assert_eq!(stack.shell("postgres", &line), "42", "{pooler}");
    }
    assert_eq!(
        stack.shell("redis", "REDISCLI_AUTH=$(cat /run/credentials/password) redis-cli incr hits"),
        "1"
    );
    let overview = r#"curl -s -u "hub:$(sed -n 's/default_pass = //p' /etc/rabbitmq/conf.d/30-credentials.conf)" http://127.0.0.1:15672/api/overview"#;
    assert!(stack.shell("rabbitmq", overview).contains("\"rabbitmq_version\""));

    // Prometheus sees every exporter, by name.
    let address = stack.port("prometheus", 9090);
    let seen = |job: &str| {
        let url = format!("http://{address}/api/v1/query?query=up%7Bjob%3D%22{job}%22%7D");
        let output = Command::new("curl").args(["-s", "-m", "5", &url]).output().expect("curl runs");
        String::from_utf8_lossy(&output.stdout).contains(",\"1\"]")
    };
    for job in ["prometheus", "node", "postgres", "redis", "rabbitmq"] {
        assert!(harness::within(40, || seen(job)), "{job} is not up for Prometheus");
    }

    // A second `up` finds nothing to do.
    let before: Vec<_> = stack.containers().iter().map(|it| (it["ID"].clone(), it["Pid"].clone())).collect();
    stack.up();
    let after: Vec<_> = stack.containers().iter().map(|it| (it["ID"].clone(), it["Pid"].clone())).collect();
    assert_eq!(before, after);
}
