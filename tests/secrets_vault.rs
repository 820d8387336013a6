//! Generated secrets of a stack with a vault: made once, kept in the vault, and there when the vault is not.

mod harness;

use harness::{Outcome, Stack, is_root, kill, within};
use std::{
    fs,
    io::Write as _,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// The vault is opened by its bootstrap alone: started again, it is sealed.
const STACK: &str = r#"
x-mesh:
  substitute: always
  ports: auto
  generate:
    CACHE_PASSWORD: {length: 32, charset: url}
    VAULT_NOTE: {charset: hex, length: 40}
services:
  vault:
    image: hashicorp/vault:1.18
    command: [server]
    environment:
      VAULT_LOCAL_CONFIG: >-
        {"storage": {"file": {"path": "/vault/file"}}, "listener": {"tcp": {"address": "0.0.0.0:8200",
        "tls_disable": true}}, "disable_mlock": true}
      NOTE: "${VAULT_NOTE}"
    volumes: ["vault:/vault/file", "keys:/vault/keys:ro"]
    ports: ["127.0.0.1:8200:8200"]
    x-mesh: {probe: {http: {port: 8200, path: "/v1/sys/health?standbyok=true&sealedcode=200&uninitcode=200"}}}
  opens-vault:
    image: hashicorp/vault:1.18
    entrypoint: [/usr/local/libexec/mesh, vault, bootstrap]
    command: [--address, "http://vault:8200", --wait, "60", --plan, /vault.toml, --keys, /vault/keys,
              --logins, /vault/approles, --authorities, /vault/ca]
    configs: [{source: plan, target: /vault.toml}]
    volumes: ["keys:/vault/keys"]
    tmpfs: [/vault/approles, /vault/ca]
    depends_on: {vault: {condition: service_healthy}}
  cache:
    image: redis:7
    command: [redis-server, --requirepass, "${CACHE_PASSWORD}"]
    secrets: [token]
    environment: {PASSWORD: "${CACHE_PASSWORD}"}
    depends_on: {opens-vault: {condition: service_completed_successfully}}
secrets:
  token:
    x-mesh: {generate: {}}
configs:
  plan: {content: "[services.cache]\ngenerate = {note = 12}\ncertificate = false\n"}
volumes: {vault: , keys: }
"#;

fn up(stack: &Stack) -> Outcome {
    stack.mesh(&["up", "-d", "--wait"]).succeeded()
}

fn get(stack: &Stack, name: &str) -> String {
    stack.mesh(&["secrets", "get", name]).succeeded().stdout.trim_end().to_owned()
}

fn file(stack: &Stack) -> String {
    let path = stack.home().join("data/secrets").join(format!("{}.json", stack.name()));
    fs::read_to_string(path).unwrap_or_default()
}

/// What the vault has, asked as its user would.
fn in_vault(stack: &Stack, name: &str) -> String {
    let token = stack.mesh(&["vault", "token"]).succeeded().stdout;
    let line = format!(
        "VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN={} vault kv get -field=value secret/mesh/{}/{name}",
        token.trim_end(),
        stack.name()
    );
    stack.mesh(&["exec", "-T", "vault", "sh", "-c", &line]).stdout.trim_end().to_owned()
}

fn set(stack: &Stack, name: &str, value: &str) -> std::process::Child {
    let mut command = stack.command(&["secrets", "set", name]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mesh secrets set");
    child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("written");
    child
}

#[test]
fn what_was_generated_moves_into_the_vault_and_comes_from_there() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(STACK);
    let first = up(&stack);
    let (password, token, note) =
        (get(&stack, "CACHE_PASSWORD"), get(&stack, "token"), get(&stack, "VAULT_NOTE"));
    assert_eq!((password.len(), token.len(), note.len()), (32, 25, 40), "{}", first.text());
    let inside = |stack: &Stack| stack.shell("cache", "echo $PASSWORD; cat /run/secrets/token");
    assert_eq!(inside(&stack), format!("{password}\n{token}"));

    // The file says where they are, and has what the vault itself is started with.
    let kept = file(&stack);
    assert!(!kept.contains(&password) && !kept.contains(&token), "{kept}");
    assert!(kept.contains(&note) && kept.contains(&format!("secret/mesh/{}/token", stack.name())), "{kept}");
    assert_eq!(
        (in_vault(&stack, "CACHE_PASSWORD"), in_vault(&stack, "token")),
        (password.clone(), token.clone())
    );
    assert_eq!(in_vault(&stack, "VAULT_NOTE"), "");
    let listed = stack.mesh(&["secrets", "ls"]).succeeded().stdout;
    assert!(listed.contains("vault, secret/mesh/") && listed.contains("file") && !listed.contains(&password));

    // Nothing is replaced by a second `up`, nor by one that finds the vault away.
    let id = stack.container("cache")["ID"].clone();
    up(&stack);
    assert_eq!(stack.container("cache")["ID"], id);
    let dry = stack.mesh(&["--dry-run", "up", "-d"]).succeeded();
    assert!(!dry.text().contains("Recreate"), "{}", dry.text());
    stack.mesh(&["stop", "vault"]).succeeded();
    stack.mesh(&["secrets", "get", "token"]).failed_saying(&[
        "token is in the project's vault",
        "does not run",
        "mesh up",
    ]);
    stack.mesh(&["secrets", "rotate", "token"]).failed_saying(&["does not run"]);
    stack.mesh(&["secrets", "rm", "token"]).failed_saying(&["does not run"]);
    assert_eq!(stack.mesh(&["secrets", "ls"]).succeeded().stdout, listed);
    assert_eq!(get(&stack, "VAULT_NOTE"), note);
    up(&stack);
    assert_eq!(
        (stack.container("cache")["ID"].clone(), inside(&stack)),
        (id, format!("{password}\n{token}"))
    );

    // Sealed.
    stack.mesh(&["restart", "vault"]).succeeded();
    assert!(within(20, || stack.mesh(&["vault", "status"]).code == 2), "the vault is not sealed");
    stack.mesh(&["secrets", "get", "token"]).failed_saying(&["sealed", "mesh vault unseal"]);
    stack.mesh(&["vault", "unseal"]).succeeded();
    assert_eq!(get(&stack, "token"), token);

    // From nothing but volumes: the vault is started first.
    stack.mesh(&["down"]).succeeded();
    let again = up(&stack);
    assert!(again.stderr.contains("is started before the rest"), "{}", again.text());
    assert_eq!(inside(&stack), format!("{password}\n{token}"));
    // And where the file is gone too.
    let path = stack.home().join("data/secrets").join(format!("{}.json", stack.name()));
    let text = fs::read_to_string(&path).expect("the file");
    fs::write(&path, text.replace("\"CACHE_PASSWORD\"", "\"FORGOTTEN\"")).expect("written");
    up(&stack);
    assert_eq!(get(&stack, "CACHE_PASSWORD"), password);
    assert_eq!(inside(&stack), format!("{password}\n{token}"));
    // What the vault is said to have and has not keeps it from being removed.
    stack.mesh(&["down", "-v"]).failed_saying(&["FORGOTTEN", "undelete", "--forget-secrets"]);
    stack.mesh(&["secrets", "rm", "FORGOTTEN"]).succeeded();
}

#[test]
fn values_in_the_vault_are_rotated_set_and_removed_there_and_outlive_its_volumes() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(STACK);
    up(&stack);
    let (password, token) = (get(&stack, "CACHE_PASSWORD"), get(&stack, "token"));
    stack.mesh(&["secrets", "rotate", "token"]).succeeded();
    let rotated = get(&stack, "token");
    assert_ne!(rotated, token);
    assert_eq!(in_vault(&stack, "token"), rotated);
    assert!(!file(&stack).contains(&rotated));
    up(&stack);
    assert_eq!(stack.shell("cache", "cat /run/secrets/token"), rotated);
    harness::finish(set(&stack, "token", "given-value")).succeeded();
    assert_eq!(
        (get(&stack, "token"), in_vault(&stack, "token")),
        ("given-value".into(), "given-value".into())
    );
    assert!(!file(&stack).contains("given-value"));
    // A new one goes there at once.
    harness::finish(set(&stack, "other", "another-value")).succeeded();
    assert_eq!(in_vault(&stack, "other"), "another-value");
    stack.mesh(&["secrets", "rm", "other"]).succeeded();
    assert_eq!(in_vault(&stack, "other"), "");
    stack.mesh(&["secrets", "get", "other"]).failed_saying(&["there is no secret other"]);

    // What the vault lost is not made anew behind anybody's back.
    let root = stack.mesh(&["vault", "token"]).succeeded().stdout;
    let delete = format!(
        "VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN={} vault kv delete secret/mesh/{}/CACHE_PASSWORD",
        root.trim_end(),
        stack.name()
    );
    stack.shell("vault", &delete);
    stack.mesh(&["up", "-d"]).failed_saying(&[
        "CACHE_PASSWORD",
        "undelete",
        "mesh secrets rm CACHE_PASSWORD",
    ]);
    stack.shell("vault", &delete.replace("kv delete", "kv undelete -versions=1"));
    up(&stack);
    assert_eq!(get(&stack, "CACHE_PASSWORD"), password);

    // `down -v` takes the vault; what was generated stays, and moves into the next one.
    stack.mesh(&["down", "-v"]).succeeded();
    assert!(file(&stack).contains(&password));
    up(&stack);
    assert!(!file(&stack).contains(&password));
    assert_eq!(
        (get(&stack, "CACHE_PASSWORD"), in_vault(&stack, "CACHE_PASSWORD")),
        (password.clone(), password)
    );
    // Of a vault that nobody can ask any more it is said.
    stack.mesh(&["stop", "vault"]).succeeded();
    let gone = stack.mesh(&["down", "-v"]).succeeded();
    assert!(gone.stderr.contains("gone with the values of CACHE_PASSWORD, token"), "{}", gone.text());
    up(&stack);
}

#[test]
fn data_that_outlives_a_vault_keeps_it_from_going_with_the_values() {
    if !is_root() {
        return;
    }
    // Another service with the port of a vault is none.
    let text = STACK.replace(
        "    secrets: [token]\n",
        "    secrets: [token]\n    ports: [\"127.0.0.1:8201:8200\"]\n    volumes: [\"./kept:/kept\"]\n",
    );
    let stack = Stack::new(&text);
    up(&stack);
    let password = get(&stack, "CACHE_PASSWORD");
    assert!(!file(&stack).contains(&password), "{}", file(&stack));
    stack.mesh(&["stop", "vault"]).succeeded();
    let words = ["the vault is not open", "CACHE_PASSWORD, token", "/kept", "--forget-secrets"];
    stack.mesh(&["down", "-v"]).failed_saying(&words);
    assert_eq!(stack.container("cache")["State"], "running");
    // What was brought up is on record still, although the vault was started alone.
    up(&stack);
    stack.mesh(&["down", "-v"]).succeeded();
    assert!(file(&stack).contains(&password));
    up(&stack);
    assert!(!file(&stack).contains(&password));
    stack.mesh(&["stop", "vault"]).succeeded();
    let gone = stack.mesh(&["down", "-v", "--forget-secrets"]).succeeded();
    assert!(gone.stderr.contains("gone with the values of CACHE_PASSWORD, token"), "{}", gone.text());
}

#[test]
fn values_stay_in_the_file_where_the_vault_goes_with_its_containers() {
    if !is_root() {
        return;
    }
    let text = STACK
        .replace("[\"vault:/vault/file\", \"keys:/vault/keys:ro\"]", "[\"keys:/vault/keys:ro\"]")
        .replace("volumes: {vault: , keys: }", "volumes: {keys: }");
    let stack = Stack::new(&text);
    up(&stack);
    let (password, token) = (get(&stack, "CACHE_PASSWORD"), get(&stack, "token"));
    let kept = file(&stack);
    assert!(kept.contains(&password) && kept.contains(&token), "{kept}");
    assert_eq!(in_vault(&stack, "token"), "");
}

#[test]
fn logins_are_renewed_while_the_stack_runs_and_nobody_calls_a_command() {
    if !is_root() {
        return;
    }
    let text = STACK
        .replace("tmpfs: [/vault/approles, /vault/ca]", "tmpfs: [/vault/ca]\n    x-mesh: {repeat: 2s}")
        .replace("[\"keys:/vault/keys\"]", "[\"keys:/vault/keys\", \"approles:/vault/approles\"]")
        .replace("\"keys:/vault/keys:ro\"]", "\"keys:/vault/keys:ro\", \"approles:/approles:ro\"]")
        .replace("volumes: {vault: ,", "volumes: {approles: , vault: ,")
        .replace("content: \"[services", "content: \"[logins]\\nsecret-id-ttl = '10s'\\n[services");
    let stack = Stack::new(&text);
    up(&stack);
    let secret_id = |stack: &Stack| stack.shell("vault", "cat /approles/cache/secret-id");
    let log_in = |stack: &Stack, id: &str| {
        let line = format!(
            "VAULT_ADDR=http://127.0.0.1:8200 vault write -field=token auth/approle/login \
             role_id=$(cat /approles/cache/role-id) secret_id={id}"
        );
        stack.mesh(&["exec", "-T", "vault", "sh", "-c", &line]).code == 0
    };
    let (first, container) = (secret_id(&stack), stack.container("cache")["ID"].clone());
    assert!(log_in(&stack, &first));
    // Of the first one nothing is left, and at each moment the one in the file is good.
    let begun = Instant::now();
    assert!(within(60, || {
        let id = secret_id(&stack);
        assert!(log_in(&stack, &id), "after {:?} nobody could log in", begun.elapsed());
        id != first && !log_in(&stack, &first)
    }));
    assert_eq!(stack.container("cache")["ID"], container);
    // What a command stopped stays so.
    stack.mesh(&["stop"]).succeeded();
    let state = |stack: &Stack| stack.container("opens-vault")["State"].clone();
    assert!(!within(5, || state(&stack) == "running"), "it ran again");
}

#[test]
fn a_command_killed_at_any_moment_loses_no_value_and_makes_no_second_one() {
    if !is_root() {
        return;
    }
    const ROUNDS: u64 = 40;
    let stack = Stack::new(STACK);
    up(&stack);
    let (mut before, mut between, mut after) = (0, 0, 0);
    for round in 0..ROUNDS {
        let (name, value) = (format!("key{round}"), format!("value-of-round-{round}"));
        let child = set(&stack, &name, &value);
        let until = Instant::now() + Duration::from_millis(round * 10);
        while Instant::now() < until {
            thread::yield_now();
        }
        kill(child.id());
        harness::finish(child);
        // Not begun, in the file, or in the vault: what is there is what was given.
        if file(&stack).contains(&value) {
            between += 1;
        } else if file(&stack).contains(&name) {
            after += 1;
        } else {
            before += 1;
            continue;
        }
        assert_eq!(get(&stack, &name), value);
    }
    println!(
        "killed before: {before}, while it was in the file: {between}, once it was in the vault: {after}"
    );
    // Whatever was cut off is finished by the next.
    up(&stack);
    let kept = file(&stack);
    for round in 0..ROUNDS {
        let (name, value) = (format!("key{round}"), format!("value-of-round-{round}"));
        if kept.contains(&format!("\"{name}\"")) {
            assert!(!kept.contains(&value), "{name} did not move");
            assert_eq!(in_vault(&stack, &name), value);
        }
    }
}

#[test]
fn a_restore_that_replaces_the_vault_loses_no_value() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(STACK);
    up(&stack);
    let token = get(&stack, "token");
    stack.mesh(&["backup", "-o", "open"]).succeeded();
    stack.mesh(&["stop", "vault"]).succeeded();
    let told = stack.mesh(&["backup", "-o", "shut"]).succeeded();
    assert!(told.stderr.contains("does not run"), "{}", told.text());

    // Nobody else has it, and it cannot be read: nothing is stopped.
    stack.mesh(&["restore", "-y", "-o", "shut"]).failed_saying(&["the only value of", "does not run"]);
    assert_eq!(stack.container("cache")["State"], "running");
    // The backup's value is that of its data.
    up(&stack);
    stack.mesh(&["secrets", "rotate", "token"]).succeeded();
    assert_ne!(get(&stack, "token"), token);
    stack.mesh(&["restore", "-y", "-o", "open"]).succeeded();
    assert_eq!(get(&stack, "token"), token);
    up(&stack);
    assert_eq!((get(&stack, "token"), in_vault(&stack, "token")), (token.clone(), token.clone()));
    assert!(!file(&stack).contains(&token));

    // A backup without values: those that the vault has are brought back before.
    stack.mesh(&["restore", "-y", "-o", "shut"]).succeeded();
    assert_eq!(get(&stack, "token"), token);
    up(&stack);
    assert_eq!((get(&stack, "token"), in_vault(&stack, "token")), (token.clone(), token));
}

#[test]
fn a_vault_that_does_not_open_keeps_the_rest_from_starting() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(STACK);
    up(&stack);
    let token = get(&stack, "token");
    stack.mesh(&["down"]).succeeded();
    let keys = stack.home().join("data/volumes").join(format!("{}_keys/_data/keys.json", stack.name()));
    let whole = fs::read_to_string(&keys).expect("the keys");
    let change = |change: &dyn Fn(&mut Vec<serde_json::Value>)| {
        let mut keys: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
        change(keys["unseal_keys_b64"].as_array_mut().expect("keys"));
        keys.to_string()
    };
    let of_another =
        change(&|keys| keys.iter_mut().for_each(|key| *key = format!("{}A=", "AQID".repeat(11)).into()));
    let few = change(&|keys| keys.truncate(2));
    let sealed = &["the project's vault is sealed", "mesh vault unseal"][..];
    let lost = &["is in the project's vault", "its keys are not in", "put its keys.json back"][..];
    for (text, words, refused) in [
        (Some(of_another), &["do not open the vault", "keys.json"][..], sealed),
        (Some(few), &["has 2 keys, and 3 open the vault"], sealed),
        (Some("{".to_owned()), &["keys.json"], &["keys.json"]),
        (None, lost, lost),
    ] {
        match &text {
            Some(text) => fs::write(&keys, text).expect("written"),
            None => fs::remove_file(&keys).expect("removed"),
        }
        let said = stack.mesh(&["up", "-d", "--wait"]).failed_saying(words);
        // The vault itself, which somebody has to see to, and nothing that needs what it has.
        let there = stack.containers();
        let others: Vec<_> = there.iter().filter(|one| one["Service"] == "cache").collect();
        assert!(others.is_empty(), "{others:?}\n{}", said.text());
        assert!(!said.text().contains(&token), "{}", said.text());
        let refused = stack.mesh(&["secrets", "get", "token"]).failed_saying(refused);
        assert!(!refused.text().contains(&token), "{}", refused.text());
        stack.mesh(&["down"]).succeeded();
    }
    fs::write(&keys, whole).expect("written");
    up(&stack);
    assert_eq!(stack.shell("cache", "cat /run/secrets/token"), token);
}
