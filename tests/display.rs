//! What the verbs that show print, asked of the real binary.

mod harness;

use harness::{Stack, is_root};
use serde_json::Value;

const FILE: &str = r#"
services:
  web:
    image: busybox
    command: [sh, -c, "echo hello; exec sleep infinity"]
    ports: ["127.0.0.1::80"]
    labels: {a.b: c d}
    volumes: ["data:/data", "/anonymous"]
    stop_grace_period: 0s
  job: {image: busybox, command: [sh, -c, exit 3]}
volumes: {data: }
"#;

#[test]
fn lists_read_as_docker_compose_s() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(FILE);
    let name = stack.name();
    let shown = |words: &[&str]| stack.mesh(words).succeeded().stdout;
    stack.mesh(&["up", "-d"]).succeeded();
    stack.mesh(&["wait", "job"]);

    let row = format!("{name}-web-1 running c d 1 {name}_data");
    let format =
        "{{.Name}} {{.State}} {{.Label \"a.b\"}} {{len .Publishers}} {{index (split .Mounts \",\") 0}}";
    assert_eq!(shown(&["ps", "--no-trunc", "--format", format]), format!("{row}\n"));
    assert_eq!(shown(&["ps", "-a", "--services"]), "job\nweb\n");
    assert_eq!(shown(&["ps", "--status", "exited", "--format", "{{.Service}} {{.ExitCode}}"]), "job 3\n");
    let table = shown(&["ps", "-a", "--format", "table {{.Service}}\\t{{.State}}"]);
    assert_eq!(table, "SERVICE   STATE\njob       exited\nweb       running\n");
    let document: Value = serde_json::from_str(&shown(&["ps", "--format", "json"])).expect("a document");
    assert_eq!(document["Publishers"][0]["TargetPort"], 80);
    assert_eq!(document["ID"].as_str().map(str::len), Some(12));

    let only = format!("name=^{name}$");
    let projects = |words: &[&str]| -> Value {
        let all = [&["ls", "--format", "json", "--filter", &only], words].concat();
        serde_json::from_str(&shown(&all)).expect("a document")
    };
    assert_eq!(projects(&[])[0]["Status"], "running(1)");
    assert_eq!(projects(&["-a"])[0]["Status"], "exited(1), running(1)");
    assert_eq!(shown(&["volumes", "-q"]), format!("{name}_data\n"));
    let top = shown(&["top", "web"]);
    assert!(top.starts_with("SERVICE  #   UID   PID"), "{top}");

    let past = shown(&["events", "--json", "--since", "10m", "--until", "0s", "job"]);
    let actions: Vec<Value> =
        past.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    assert_eq!(
        actions.iter().map(|event| event["action"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
        ["create", "start", "die"]
    );
    assert_eq!(actions[2]["attributes"]["exitCode"], "3");

    stack.mesh(&["down"]).succeeded();
    assert_eq!(projects(&[]), Value::Array(Vec::new()));
    assert_eq!(projects(&["-a"])[0]["Status"], "volumes(2)");
    assert_eq!(shown(&["volumes", "-q"]), format!("{name}_data\n"));
    assert_eq!(shown(&["ps", "-a", "-q"]), "");
}

#[test]
fn what_is_wrong_is_told_in_docker_compose_s_words() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(FILE);
    for (words, error) in [
        (&["ps", "--filter", "foo=bar"][..], "unknown filter foo"),
        (&["ls", "--filter", "x=y"], "invalid filter 'x'"),
        (&["ls", "--format", "yaml"], "format value \"yaml\" could not be parsed: parsing failed"),
        (
            &["volumes", "--format", "{{json}"],
            "template parsing error: template: :1: bad character U+007D '}'",
        ),
        (&["port", "web", "80"], "service \"web\" is not running"),
    ] {
        let outcome = stack.mesh(words);
        assert_eq!(outcome.code, 1, "{words:?}: {}", outcome.text());
        assert!(outcome.stderr.contains(error), "{words:?}: {}", outcome.text());
    }
}
