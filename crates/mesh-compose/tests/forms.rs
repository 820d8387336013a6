//! Short and long forms of every key, as `config` prints them.

mod support;

use serde_json::{Value, json};
use support::{Given, service};

fn check(body: &str, key: &str, want: Value) {
    let json = service(body).json();
    assert_eq!(json["services"]["a"][key], want, "{body}");
}

#[test]
fn both_forms_of_a_key_are_one() {
    check("command: sh -c 'a b'", "command", json!(["sh", "-c", "a b"]));
    check("entrypoint: []", "entrypoint", json!([]));
    check("command:", "command", json!(null));
    check(
        "environment: [A=1, B, HOME, C=]",
        "environment",
        json!({"A": "1", "B": null, "C": "", "HOME": "/home/me"}),
    );
    check(
        "environment: {A: 1, B: true, C: 1.10, D: }",
        "environment",
        json!({"A": "1", "B": "true", "C": "1.1", "D": null}),
    );
    check("labels: [a=b, c]", "labels", json!({"a": "b", "c": ""}));
    check("labels: {a: b, c: 1}", "labels", json!({"a": "b", "c": "1"}));
    check("sysctls: [net.core.somaxconn=1024]", "sysctls", json!({"net.core.somaxconn": "1024"}));
    check("dns: 1.1.1.1", "dns", json!(["1.1.1.1"]));
    check("tmpfs: /run", "tmpfs", json!(["/run"]));
    check(
        "extra_hosts: ['a:1.2.3.4', 'b=::1', 'c:[::1]']",
        "extra_hosts",
        json!(["a=1.2.3.4", "b=::1", "c=::1"]),
    );
    check("extra_hosts: {a: [1.2.3.4, host-gateway]}", "extra_hosts", json!(["a=1.2.3.4", "a=host-gateway"]));
    check("stop_grace_period: 1m30s", "stop_grace_period", json!("1m30s"));
    check("mem_limit: 1gb", "mem_limit", json!("1073741824"));
    check("init: 'yes'", "init", json!(true));
    check("restart: no", "restart", json!("no"));
    check("healthcheck: {test: curl -f x}", "healthcheck", json!({"test": ["CMD-SHELL", "curl -f x"]}));
    check(
        "ports: ['80:80', {target: 1}]",
        "ports",
        json!([
            {"mode": "ingress", "protocol": "tcp", "published": "80", "target": 80},
            {"mode": "ingress", "protocol": "tcp", "target": 1},
        ]),
    );
    check("secrets: []", "secrets", json!(null));
    check(
        "devices: [/dev/fuse]",
        "devices",
        json!([
            {"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rwm"}
        ]),
    );
    check(
        "volumes: ['./a/../b:/x/./y:ro']",
        "volumes",
        json!([
            {"type": "bind", "source": "DIR/b", "target": "/x/y", "read_only": true, "bind": {}}
        ]),
    );
    check(
        "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}]",
        "volumes",
        json!([
            {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1048576", "mode": 1023}}
        ]),
    );
    check("build: ./b", "build", json!({"context": "DIR/b", "dockerfile": "Dockerfile"}));
}

#[test]
fn env_files_lie_under_the_environment_and_are_read_in_order() {
    let given = Given::new(&[
        (
            "compose.yaml",
            "services:\n  a:\n    image: x\n    env_file:\n      - a.env\n      - {path: b.env, format: raw}\n      - \
             {path: none.env, required: false}\n    environment: {A: own}\n",
        ),
        ("a.env", "A=file\nB=$SHELL_SET-$A\nC=1\n"),
        ("b.env", "C='$X'\n"),
    ])
    .variable("SHELL_SET", "s");
    let want = json!({"A": "own", "B": "s-own", "C": "'$$X'"});
    assert_eq!(given.json()["services"]["a"]["environment"], want);
    let project = given.loaded().project;
    assert_eq!(project.services["a"].environment["C"], "'$X'");
}

#[test]
fn the_document_is_ordered_named_and_loads_again_as_itself() {
    let given = Given::new(&[(
        "compose.yaml",
        "x-a: {b: 1}\nvolumes: {v: , w: {name: own, external: true}}\nservices:\n  b: {image: x, volumes: ['v:/v', \
         'w:/w'], environment: {P: 'a$$b', Q: \"l1\\nl2\\n\", R: 'no'}}\n  a: {image: y, network_mode: none}\n",
    )]);
    let yaml = given.loaded().document.to_yaml();
    let order: Vec<_> = yaml.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(order, ["name: demo", "services:", "networks:", "volumes:", "x-a:"]);
    for part in ["name: demo_default", "name: demo_v", "name: own", "P: a$$b", "Q: |\n", "R: \"no\""] {
        assert!(yaml.contains(part), "{part} in\n{yaml}");
    }
    let again = Given::new(&[("compose.yaml", &yaml)]);
    assert_eq!(again.loaded().document.to_yaml(), yaml);
    assert_eq!(again.loaded().project.services, given.loaded().project.services);
}
