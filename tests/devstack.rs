//! `stacks/devstack`: nothing starts before the vault, and everything has its credentials and certificate from it.

mod harness;

use harness::{Stack, is_root, within};
use std::{fs, path::Path};

/// The stack's files in a project of its own.
fn devstack() -> Stack {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/devstack");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file of the stack");
    let mut stack = Stack::new(&read("compose.yaml").replace("name: devstack\n", ""));
    for file in ["start.sh", "open-vault.sh", "vault.hcl", "vault.toml", "prometheus.yml"] {
        stack.write(file, &read(file));
    }
    stack.set("MESH_PORTS", "auto");
    stack
}

#[test]
fn databases_start_with_what_the_vault_has_for_them() {
    if !is_root() {
        return;
    }
    let stack = devstack();
    let up = stack.mesh(&["--profile", "minimal", "up", "--wait"]).succeeded();
    assert!(up.stderr.contains("left out, as nothing serves their images: forgejo"), "{}", up.text());
    let bootstrap = stack.mesh(&["logs", "vault-bootstrap"]).succeeded();
    assert!(bootstrap.stdout.contains("The vault is initialised and open"), "{}", bootstrap.text());

    // TLS to PostgreSQL with a certificate of the stack's authority, and the pooler in front of it.
    let password = |service: &str| {
        stack.mesh(&["vault", "show-password", service]).succeeded().stdout.trim_end().to_owned()
    };
    let (postgres, redis) = (password("postgres"), password("redis-1"));
    assert_eq!((postgres.len(), redis.len()), (25, 25));
    let ask = |host: &str, more: &str| {
        let line = format!(
            "PGPASSWORD={postgres} psql 'host={host} user=dev_admin dbname=dev_database {more}' -Atc \
             'select ssl from pg_stat_ssl where pid = pg_backend_pid()'"
        );
        stack.shell("postgres", &line)
    };
    assert_eq!(ask("postgres", "sslmode=verify-full sslrootcert=/run/tls/ca.crt"), "t");
    assert_eq!(ask("pgbouncer", "sslmode=disable"), "t", "the pooler asks with TLS");
    let ping = "REDISCLI_AUTH=$(cat /run/redis/password) redis-cli --tls --cacert /run/tls/ca.crt -h redis-1 -p 6380 ping";
    assert_eq!(stack.shell("redis-1", ping), "PONG");

    // A service's role reads what is its own, and nothing else.
    let refused = "set -e; cd /vault-approles/redis-1; a=$(jq -n --rawfile r role-id --rawfile s secret-id \
                   '{role_id: $r, secret_id: $s}'); t=$(curl -s -d \"$a\" http://vault:8200/v1/auth/approle/login \
                   | jq -r .auth.client_token); for p in redis-1 postgres; do curl -s -o /dev/null -w '%{http_code} ' \
                   -H \"X-Vault-Token: $t\" http://vault:8200/v1/secret/data/$p; done";
    assert_eq!(stack.shell("redis-1", refused).trim(), "200 403");

    // No secret where somebody looks by the way.
    let token = stack.mesh(&["vault", "token"]).succeeded().stdout.trim_end().to_owned();
    for said in [
        up.text(),
        bootstrap.text(),
        stack.mesh(&["logs"]).succeeded().text(),
        stack.mesh(&["config"]).succeeded().text(),
        stack.shell("postgres", "tr '\\0' ' ' < /proc/1/cmdline"),
        harness::processes().into_iter().map(|(_, line)| line + "\n").collect(),
    ] {
        for secret in [&postgres, &redis, &token] {
            assert!(!said.contains(secret.as_str()), "{said}");
        }
    }

    // Once more changes nothing; a vault that starts again is opened again.
    let dry = stack.mesh(&["--dry-run", "vault", "bootstrap"]).succeeded();
    assert!(dry.stdout.contains("0 to be made"), "{}", dry.text());
    let id = stack.container("postgres")["ID"].clone();
    stack.mesh(&["--profile", "minimal", "up", "--wait"]).succeeded();
    assert_eq!(stack.container("postgres")["ID"], id);
    stack.mesh(&["restart", "vault"]).succeeded();
    assert!(within(20, || stack.mesh(&["vault", "status"]).code == 0), "the vault stays sealed");
    assert_eq!(password("postgres"), postgres);
}

#[test]
fn all_profiles_come_up_watched_and_what_nothing_serves_is_told() {
    if !is_root() {
        return;
    }
    let stack = devstack();
    let up = stack.mesh(&["--profile", "full", "--profile", "reference", "up", "--wait"]).succeeded();
    let absent = [
        "forgejo",
        "mongodb",
        "grafana",
        "loki",
        "vector",
        "cadvisor",
        "reference-api",
        "api-first",
        "golang-api",
        "nodejs-api",
        "rust-api",
    ];
    let status: serde_json::Value =
        serde_json::from_str(&stack.mesh(&["status", "--format", "json"]).succeeded().stdout).expect("JSON");
    assert_eq!(status["State"], "up", "{status}");
    for name in absent {
        assert!(status["LeftOut"].get(name).is_some(), "{name} is not told: {status}");
        assert!(up.stderr.contains(name), "{name}: {}", up.text());
    }
    assert!(stack.mesh(&["ps", "-a"]).succeeded().stderr.contains("grafana"));
    assert_eq!(stack.mesh(&["health"]).code, 0);
    // Whoever is asked for by name is not left out.
    stack.mesh(&["up", "-d", "grafana"]).failed_saying(&["grafana"]);

    // Everything that Prometheus is to watch answers it.
    let targets = || {
        let text = stack.shell("vault", "curl -s http://prometheus:9090/api/v1/targets");
        let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let targets = answer["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        targets.iter().map(|target| target["health"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    assert!(within(60, || targets() == ["up"; 6]), "{:?}", targets());
    let metric =
        stack.shell("vault", "curl -s http://redis-exporter-2:9121/metrics | grep -c '^redis_up 1$'");
    assert_eq!(metric, "1");
    let cluster = "REDISCLI_AUTH=$(cat /run/redis/password) redis-cli cluster info";
    assert!(stack.shell("redis-3", cluster).contains("cluster_slots_ok:16384"));
}
