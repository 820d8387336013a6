//! Several files, `extends`, `include`, `!reset` and `!override`.

mod support;

use serde_json::{Value, json};
use support::Given;

/// Key of service `a` after `over` was laid on `base`.
fn check(base: &str, over: &str, key: &str, want: Value) {
    let file = |body: &str| format!("services:\n  a:\n    image: x\n    {body}\n");
    let given = Given::new(&[("a.yaml", &file(base)), ("b.yaml", &file(over))]).files(&["a.yaml", "b.yaml"]);
    assert_eq!(given.json()["services"]["a"][key], want, "{base} + {over}");
}

#[test]
fn each_key_merges_by_its_own_rule() {
    check("command: [a, b]", "command: [c]", "command", json!(["c"]));
    check("healthcheck: {test: a, retries: 1}", "healthcheck: {test: b}", "healthcheck", {
        json!({"test": ["CMD-SHELL", "b"], "retries": 1})
    });
    check(
        "environment: [A=1, B=1]",
        "environment: {B: 2, C: 3}",
        "environment",
        json!({"A": "1", "B": "2", "C": "3"}),
    );
    check("labels: {a: 1}", "labels: [a=2, b=3]", "labels", json!({"a": "2", "b": "3"}));
    check("dns: 1.1.1.1", "dns: [8.8.8.8, 1.1.1.1]", "dns", json!(["1.1.1.1", "8.8.8.8"]));
    check("cap_add: [KILL]", "cap_add: [CHOWN]", "cap_add", json!(["KILL", "CHOWN"]));
    check(
        "ports: ['80:80']",
        "ports: ['81:81', '80:80']",
        "ports",
        json!([
            {"mode": "ingress", "protocol": "tcp", "published": "80", "target": 80},
            {"mode": "ingress", "protocol": "tcp", "published": "81", "target": 81},
        ]),
    );
    check(
        "volumes: ['/a:/x', '/b:/y']",
        "volumes: ['/c:/x:ro']",
        "volumes",
        json!([
            {"type": "bind", "source": "/c", "target": "/x", "read_only": true, "bind": {}},
            {"type": "bind", "source": "/b", "target": "/y", "bind": {}},
        ]),
    );
    check("ulimits: {nofile: 1}", "ulimits: {nofile: {soft: 2, hard: 3}}", "ulimits", {
        json!({"nofile": {"soft": 2, "hard": 3}})
    });
    check("logging: {driver: local, options: {a: b}}", "logging: {driver: json-file}", "logging", {
        json!({"driver": "json-file"})
    });
    check("ports: ['80:80']", "ports: !reset []", "ports", json!(null));
    check(
        "ports: ['80:80']",
        "ports: !override ['81:81']",
        "ports",
        json!([
            {"mode": "ingress", "protocol": "tcp", "published": "81", "target": 81},
        ]),
    );
    check("environment: {A: 1, B: 2}", "environment: {A: !reset null}", "environment", json!({"B": "2"}));
    check("build: .", "build: {target: t}", "build", {
        json!({"context": "DIR", "dockerfile": "Dockerfile", "target": "t"})
    });
}

#[test]
fn a_key_without_a_value_takes_a_command_back_and_leaves_the_rest() {
    check("command: [a]", "command:", "command", json!(null));
    check("entrypoint: [a]", "entrypoint:", "entrypoint", json!(null));
    check("user: '1'", "user:", "user", json!("1"));
    check("environment: {A: '1', HOME: x}", "environment: [A, HOME]", "environment", {
        json!({"A": null, "HOME": "/home/me"})
    });
    check("labels: {a: b}", "labels: {a: }", "labels", json!({"a": ""}));
}

#[test]
fn lists_name_nothing_twice_and_the_later_entry_counts() {
    for (body, key, want) in [
        ("cap_add: [KILL, KILL]", "cap_add", json!(["KILL"])),
        ("dns: [1.1.1.1, 1.1.1.1]", "dns", json!(["1.1.1.1"])),
        ("profiles: [a, b, a]", "profiles", json!(["a", "b"])),
        ("tmpfs: ['/a:size=1', '/a:size=2']", "tmpfs", json!(["/a:size=2"])),
        ("volumes: ['/a:/x', '/b:/x']", "volumes", {
            json!([{"type": "bind", "source": "/b", "target": "/x", "bind": {}}])
        }),
    ] {
        let mut given = support::service(body);
        given.options.profiles = vec!["a".to_owned()];
        assert_eq!(given.json()["services"]["a"][key], want, "{body}");
    }
    for body in ["group_add: [a, a]", "security_opt: [a, a]", "depends_on: [b, b]", "networks: [n, n]"] {
        let errors = support::service(body).errors();
        assert!(errors.contains("twice"), "{body}: {errors}");
    }
    check("group_add: [a]", "group_add: [a, b]", "group_add", json!(["a", "b"]));
}

#[test]
fn marks_reach_through_extends_and_include() {
    let base = "services:\n  a:\n    image: x\n    ports: ['80:80']\n    environment: {A: '1', B: '1'}\n";
    let over = "services:\n  a:\n    extends: {file: other.yaml, service: o}\n    ports: !override ['81:81']\n    \
                environment: {A: !reset null}\n";
    let other = "services:\n  o: {ports: ['82:82'], environment: {A: o, C: o}}\n";
    let given =
        Given::new(&[("a.yaml", base), ("b.yaml", over), ("other.yaml", other)]).files(&["a.yaml", "b.yaml"]);
    let service = &given.json()["services"]["a"];
    assert_eq!(service["ports"][0]["published"], "81");
    assert_eq!(service["ports"].as_array().map(Vec::len), Some(1));
    assert_eq!(service["environment"], json!({"B": "1", "C": "o"}));
    let given = Given::new(&[
        ("compose.yaml", "include: [sub.yaml]\nservices:\n  a: {ports: !reset [], command: !override [b]}\n"),
        ("sub.yaml", "services:\n  a: {image: x, ports: ['80:80'], command: [a]}\n"),
    ]);
    let service = &given.json()["services"]["a"];
    assert_eq!((&service["ports"], &service["command"]), (&json!(null), &json!(["b"])));
    let spent = Given::new(&[
        ("a.yaml", "services:\n  a: {image: x, environment: !reset {A: '1'}}\n"),
        ("b.yaml", "services:\n  a: {environment: {B: '1'}}\n"),
    ])
    .files(&["a.yaml", "b.yaml"]);
    assert_eq!(spent.json()["services"]["a"]["environment"], json!({"B": "1"}));
}

#[test]
fn a_service_extends_an_included_one() {
    let given = Given::new(&[
        ("compose.yaml", "include: [sub/c.yaml]\nservices:\n  a: {extends: base, user: '7'}\n"),
        ("sub/c.yaml", "services:\n  base: {image: x, volumes: ['./d:/d']}\n"),
    ]);
    let service = &given.json()["services"]["a"];
    assert_eq!((&service["image"], &service["user"]), (&json!("x"), &json!("7")));
    assert_eq!(service["volumes"][0]["source"], "DIR/sub/d");
}

#[test]
fn paths_of_several_files_start_at_the_first_and_those_of_an_include_at_its_own() {
    let given = Given::new(&[
        ("one/a.yaml", "include: [../inc/i.yaml, {path: ../inc/j.yaml, project_directory: elsewhere}]\nservices:\n  a: {image: x, volumes: ['./a:/a']}\n"),
        ("two/b.yaml", "services:\n  a: {volumes: ['./b:/b']}\n"),
        ("inc/i.yaml", "services:\n  i: {image: x, volumes: ['./i:/i']}\n"),
        ("inc/j.yaml", "services:\n  j: {image: x, volumes: ['./j:/j']}\n"),
    ])
    .files(&["one/a.yaml", "two/b.yaml"]);
    let services = &given.json()["services"];
    let source = |name: &str, index: usize| services[name]["volumes"][index]["source"].clone();
    assert_eq!([source("a", 0), source("a", 1)], [json!("DIR/one/a"), json!("DIR/one/b")]);
    assert_eq!([source("i", 0), source("j", 0)], [json!("DIR/inc/i"), json!("DIR/one/elsewhere/j")]);
}

#[test]
fn dependencies_and_networks_merge_in_both_forms() {
    let given = Given::new(&[
        ("a.yaml", "services:\n  a: {image: x, depends_on: [b], networks: [n]}\n  b: {image: x}\nnetworks: {n: , m: }\n"),
        (
            "b.yaml",
            "services:\n  a: {depends_on: {b: {condition: service_healthy}}, networks: {m: {aliases: [z]}}}\n",
        ),
    ])
    .files(&["a.yaml", "b.yaml"]);
    let json = given.json();
    assert_eq!(
        json["services"]["a"]["depends_on"],
        json!({"b": {"condition": "service_healthy", "required": true}})
    );
    assert_eq!(json["services"]["a"]["networks"], json!({"n": null, "m": {"aliases": ["z"]}}));
}

#[test]
fn extends_takes_from_other_files_relative_to_them() {
    let given = Given::new(&[
        (
            "compose.yaml",
            "services:\n  a:\n    extends: {file: sub/base.yaml, service: mid}\n    environment: {B: own}\n",
        ),
        (
            "sub/base.yaml",
            "services:\n  mid:\n    extends: root\n    volumes: ['./d:/d']\n  root:\n    image: x\n    environment: {A: \
             '1', B: '2'}\n    env_file: r.env\n",
        ),
        ("sub/r.env", "R=1\n"),
    ]);
    let service = &given.json()["services"]["a"];
    assert_eq!(service["environment"], json!({"A": "1", "B": "own", "R": "1"}));
    assert_eq!(service["volumes"][0]["source"], "DIR/sub/d");
    assert_eq!(service["extends"], json!(null));
}

#[test]
fn a_broken_extends_is_told_once_and_where_it_is() {
    let check = |files: &[(&str, &str)], want: &[&str]| {
        let told = Given::new(files).errors();
        for line in want {
            assert!(told.contains(line), "no {line:?} in\n{told}");
        }
        assert_eq!(told.matches("error:").count(), 1, "{told}");
    };
    let from_o = "services:\n  a:\n    extends:\n      file: o.yaml\n      service: x\n";
    check(&[("compose.yaml", "services:\n  a:\n    extends: nope\n")], &["compose.yaml:3:14", "`nope`"]);
    check(
        &[("compose.yaml", "services:\n  a:\n    extends: b\n  b: {extends: a}\n")],
        &["circle: a -> b -> a", "compose.yaml:4:16"],
    );
    check(&[("compose.yaml", from_o)], &["compose.yaml:4:13", "could not read o.yaml"]);
    check(&[("compose.yaml", from_o), ("o.yaml", "services: 5\n")], &["o.yaml:1:11", "not a mapping"]);
    check(&[("compose.yaml", from_o), ("o.yaml", "text\n")], &["compose.yaml:4:13", "o.yaml is a string"]);
    check(&[("compose.yaml", from_o), ("o.yaml", "")], &["compose.yaml:4:13", "o.yaml is "]);
    check(&[("compose.yaml", from_o), ("o.yaml", "a: [\n")], &["o.yaml:"]);
    check(
        &[("compose.yaml", "services:\n  a:\n    extends: {service: [b]}\n")],
        &["3:24", "names no service"],
    );
}

#[test]
fn extends_finds_circles_and_missing_services() {
    let circle =
        Given::new(&[("compose.yaml", "services:\n  a: {extends: b}\n  b: {extends: a}\n")]).errors();
    assert!(circle.contains("`extends` goes in a circle: a -> b -> a"), "{circle}");
    let missing =
        Given::new(&[("compose.yaml", "services:\n  web: {image: x}\n  a: {extends: wep}\n")]).errors();
    assert!(missing.contains("compose.yaml:3:16") && missing.contains("did you mean `web`"), "{missing}");
}

#[test]
fn include_brings_a_project_with_its_own_paths_and_variables() {
    let given = Given::new(&[
        (
            "compose.yaml",
            "include:\n  - sub/compose.yaml\n  - {path: [o/a.yaml, o/b.yaml], env_file: o/x.env}\nservices: {}\n",
        ),
        (
            "sub/compose.yaml",
            "services:\n  s: {image: 'x:${TAG}', volumes: ['./d:/d', 'v:/v']}\nvolumes: {v: }\n",
        ),
        ("sub/.env", "TAG=sub\n"),
        ("o/a.yaml", "services:\n  o: {image: 'y:${TAG}'}\n"),
        ("o/b.yaml", "services:\n  o: {user: '1'}\n"),
        ("o/x.env", "TAG=o\n"),
    ]);
    let services = &given.json()["services"];
    assert_eq!(services["s"]["image"], "x:sub");
    assert_eq!(services["s"]["volumes"][0]["source"], "DIR/sub/d");
    assert_eq!((&services["o"]["image"], &services["o"]["user"]), (&json!("y:o"), &json!("1")));
}

#[test]
fn files_that_include_others_twice_are_bounded() {
    let names: Vec<String> = (0..14).map(|level| format!("f{level}.yaml")).collect();
    let mut files: Vec<(String, String)> = names
        .windows(2)
        .map(|pair| (pair[0].clone(), format!("include: [{0}, {0}]\nservices: {{}}\n", pair[1])))
        .collect();
    files.push((names[13].clone(), "services: {a: {image: x}}\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let errors = Given::new(&files).files(&["f0.yaml"]).errors();
    assert!(errors.contains("more than 1000 projects are included"), "{errors}");
}

#[test]
fn what_is_not_on_this_machine_is_told_with_its_place() {
    let text = "include: ['oci://registry.example/a:1']\nservices:\n  a: {extends: {file: 'https://example.com/a.git', \
                service: b}}\n";
    let errors = Given::new(&[("compose.yaml", text)]).errors();
    for want in
        ["compose.yaml:1:11: error: `oci://registry.example/a:1` is not on this machine", "compose.yaml:3:"]
    {
        assert!(errors.contains(want), "{errors}");
    }
}

#[test]
fn values_taken_from_others_are_bounded() {
    let labels: String = (0..30_000).map(|index| format!("      l{index}: v\n")).collect();
    let base = format!("services:\n  b:\n    image: x\n    labels:\n{labels}");
    let services: String =
        (0..60).map(|index| format!("  s{index}: {{extends: {{file: b.yaml, service: b}}}}\n")).collect();
    let given = Given::new(&[("compose.yaml", &format!("services:\n{services}")), ("b.yaml", &base)]);
    assert!(given.errors().contains("services take more than 1000000 values from others"));
}

#[test]
fn what_includes_has_the_last_word_and_circles_are_told() {
    let over = Given::new(&[
        ("compose.yaml", "include: [sub/b.yaml]\nservices:\n  a: {image: x}\n"),
        ("sub/b.yaml", "services:\n  a: {image: y, volumes: ['./v:/v']}\n"),
    ])
    .json();
    let service = &over["services"]["a"];
    assert_eq!((&service["image"], &service["volumes"][0]["source"]), (&json!("x"), &json!("DIR/sub/v")));
    let circle =
        Given::new(&[("compose.yaml", "include: [b.yaml]\n"), ("b.yaml", "include: [compose.yaml]\n")])
            .errors();
    assert!(circle.contains("`include` goes in a circle"), "{circle}");
}
