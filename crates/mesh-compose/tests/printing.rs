//! The document in the form of `docker compose config`: what that program printed for the same file.

mod support;

use mesh_compose::{InputFile, LoadOptions, Loaded, Section, Skip, load};
use support::Given;

const FILE: &str = r##"
name: demo
x-top: {b: 1, a: [x, 2.50, null, {}, [], "multi\nline"]}
services:
  web:
    image: nginx:1.2
    x-foo: {z: 1, a: yes, n: ~, f: 1.0}
    build: {context: /src, args: [A=1, B], dockerfile_inline: "FROM x\nRUN y\n"}
    ports: ["80:80", "127.0.0.1:9000:9000/udp", {target: 5, published: 99, x-p: 1}]
    environment: {A10: "1", A9: "no", D: null, E: "12:30", F: "a: b", I: "tab\there", K: "é", P: "$$x", N: "", W: "<b>&"}
    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 512m}}}
    healthcheck: {test: "curl x", interval: 90s, retries: 3}
    command: echo "hello world"
    depends_on: [db]
    volumes: ["data:/data:ro", "/x:/y:z", {type: tmpfs, target: /t, tmpfs: {size: 10m, mode: 01777}}]
  db:
    image: postgres
    entrypoint: []
    mem_limit: 1g
    cpus: 1.5
    scale: 0
volumes: {data: {labels: [a=b]}, unused: {}}
"##;

const YAML: &str = r#"name: demo
services:
  db:
    cpus: 1.5
    entrypoint: []
    image: postgres
    mem_limit: "1073741824"
    networks:
      default: null
    scale: 0
  web:
    build:
      context: /src
      dockerfile_inline: |
        FROM x
        RUN y
      args:
        A: "1"
    command:
      - echo
      - hello world
    depends_on:
      db:
        condition: service_started
        required: true
    deploy:
      replicas: 2
      resources:
        limits:
          cpus: 0.5
          memory: "536870912"
    environment:
      A9: "no"
      A10: "1"
      D: null
      E: "12:30"
      F: 'a: b'
      I: "tab\there"
      K: é
      "N": ""
      P: $$x
      W: <b>&
    healthcheck:
      test:
        - CMD-SHELL
        - curl x
      interval: 1m30s
      retries: 3
    image: nginx:1.2
    networks:
      default: null
    ports:
      - mode: ingress
        target: 80
        published: "80"
        protocol: tcp
      - mode: ingress
        host_ip: 127.0.0.1
        target: 9000
        published: "9000"
        protocol: udp
      - mode: ingress
        target: 5
        published: "99"
        protocol: tcp
        x-p: 1
    volumes:
      - type: volume
        source: data
        target: /data
        read_only: true
        volume: {}
      - type: bind
        source: /x
        target: /y
        bind:
          selinux: z
      - type: tmpfs
        target: /t
        tmpfs:
          size: "10485760"
          mode: 1023
    x-foo:
      a: "yes"
      f: 1
      "n": null
      z: 1
networks:
  default:
    name: demo_default
volumes:
  data:
    name: demo_data
    labels:
      a: b
x-top:
  a:
    - x
    - 2.5
    - null
    - {}
    - []
    - |-
      multi
      line
  b: 1
"#;

fn loaded(text: &str, change: impl FnOnce(&mut LoadOptions)) -> Loaded {
    let mut options = LoadOptions {
        files: vec![InputFile::Text { name: "compose.yaml".to_owned(), text: text.to_owned() }],
        working_directory: "/project".into(),
        interpolate: true,
        ..LoadOptions::default()
    };
    change(&mut options);
    load(&options).expect("a sound file")
}

#[test]
fn yaml_is_that_of_docker_compose() {
    let yaml = loaded(FILE, |_| {}).document.to_yaml();
    assert_eq!(yaml, YAML);
    assert_eq!(loaded(&yaml, |_| {}).document.to_yaml(), YAML, "it loads again as it is");
}

#[test]
fn json_shows_what_yaml_leaves_out_and_no_free_keys_below_the_top() {
    let json = loaded(FILE, |_| {}).document.to_json();
    for part in [
        "{\n  \"name\": \"demo\",\n  \"networks\": {\n    \"default\": {\n      \"name\": \"demo_default\",\n      \"ipam\": {}\n    }\n  },",
        "\"command\": null,\n      \"entrypoint\": [],",
        "\"placement\": {}",
        "\"A10\": \"1\",\n        \"A9\": \"no\",",
        "\"W\": \"\\u003cb\\u003e\\u0026\"",
        "\"x-top\": {",
    ] {
        assert!(json.contains(part), "{part}\n{json}");
    }
    assert!(!json.contains("x-foo") && !json.contains("x-p") && json.ends_with('}'));
}

#[test]
fn hashes_are_those_of_docker_compose() {
    let skip = Skip { env_files: true, label_files: true, ..Skip::default() };
    let document = loaded(FILE, |options| options.skip = skip).document;
    for (service, want) in [
        ("db", "af996110a298c1548a67bb087bc6847343b5e3e6ad311ad29a2146948a208b19"),
        ("web", "9f83955ad97e4dee10d1c3cf2efc4f2a1bbe0b584596cfa682e178869a557740"),
    ] {
        assert_eq!(document.hash(service).as_deref(), Some(want), "{service}");
    }
    assert_eq!(document.hash("nobody"), None);
}

#[test]
fn as_written_values_stay_and_short_forms_do_not() {
    let text = "name: demo\nservices:\n  a:\n    image: x:${TAG:-1}\n    ports: ['80:80']\n    volumes: ['${D:-/x}:/y']\n    labels: [a=b]\n  b: {image: y, profiles: [p]}\n";
    let document = loaded(text, |options| options.interpolate = false).document;
    let want = "name: demo\nnetworks:\n  default:\n    name: demo_default\nservices:\n  a:\n    image: x:${TAG:-1}\n    labels:\n      - a=b\n    networks:\n      default: null\n    ports:\n      - mode: ingress\n        protocol: tcp\n        published: \"80\"\n        target: 80\n    volumes:\n      - source: ${D:-/x}\n        target: /y\n        type: volume\n        volume: {}\n  b:\n    image: \"y\"\n    networks:\n      default: null\n    profiles:\n      - p\n";
    assert_eq!(document.to_yaml(), want);
}

#[test]
fn as_written_the_last_of_several_settings_of_a_name_counts() {
    let text = "services:\n  a:\n    image: x\n    environment: [A=1, B, 'A=${C}', B=2]\n    build: {context: ., args: [D=1, D=2]}\n";
    let yaml = loaded(text, |options| options.interpolate = false).document.to_yaml();
    assert!(yaml.contains("environment:\n      - A=${C}\n      - B=2\n    image"), "{yaml}");
    assert!(yaml.contains("args:\n        - D=2\n"), "{yaml}");
}

#[test]
fn passes_can_be_left_out() {
    let given = Given::new(&[
        (
            "compose.yaml",
            "services:\n  a: {image: x, env_file: a.env, volumes: ['./d:/d'], pull_policy: if_not_present}\n",
        ),
        ("a.env", "K=v\n"),
    ]);
    let shown = |skip: Skip| {
        let options = LoadOptions { skip, ..given.options.clone() };
        load(&options).expect("sound").document.to_yaml()
    };
    let all = shown(Skip::default());
    assert!(
        all.contains("K: v") && all.contains("pull_policy: missing") && all.contains("default: null"),
        "{all}"
    );
    let less = shown(Skip { normalisation: true, ..Skip::default() });
    assert!(less.contains("pull_policy: if_not_present") && !less.contains("default"), "{less}");
    assert!(shown(Skip { paths: true, env_files: true, ..Skip::default() }).contains("source: ./d"));
    // What services say of one another is a matter of consistency, whatever else is left out.
    let both = Given::new(&[(
        "compose.yaml",
        "services:\n  a: {image: x, network_mode: host, networks: [n]}\nnetworks: {n: }\n",
    )]);
    for (skip, sound) in [
        (Skip::default(), false),
        (Skip { normalisation: true, ..Skip::default() }, false),
        (Skip { consistency: true, ..Skip::default() }, true),
    ] {
        assert_eq!(load(&LoadOptions { skip, ..both.options.clone() }).is_ok(), sound, "{skip:?}");
    }
    let files = shown(Skip { env_files: true, ..Skip::default() });
    assert!(files.contains("env_file:\n      - path: ") && !files.contains("K: v"), "{files}");
}

#[test]
fn a_part_can_be_selected() {
    let text = "name: d\nservices:\n  a: {image: x, depends_on: [b]}\n  b: {image: y, networks: [n]}\n  c: {image: z, volumes: ['v:/v']}\nnetworks: {n: }\nvolumes: {v: }\n";
    let mut document = loaded(text, |_| {}).document;
    assert_eq!(document.names(Section::Volumes), ["v"]);
    document.select(&["a".to_owned()]).expect("it is there");
    document.prune();
    assert_eq!(
        (document.services(), document.images()),
        (vec!["a", "b"], vec!["x".to_owned(), "y".to_owned()])
    );
    assert_eq!(
        (document.names(Section::Volumes), document.names(Section::Networks)),
        (vec![], vec!["default", "n"])
    );
    assert_eq!(document.select(&["c*".to_owned()]), Err("c*".to_owned()));
}

#[test]
fn a_variable_is_explained() {
    let given = Given::new(&[
        (".env", "A=1\nB=x\nA=2\n"),
        (
            "compose.yaml",
            "services:\n  s:\n    image: x:${A:-9}$$A\n    environment: {A: '${A}y'}\n    env_file: s.env\n",
        ),
        ("s.env", "A=file\n"),
    ])
    .variable("A", "shell");
    let options = LoadOptions { explain: Some("A".to_owned()), ..given.options.clone() };
    let explanation = load(&options).expect("sound").explanation.expect("asked for");
    let line = |origin: &mesh_compose::Origin| {
        let place = origin.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
        format!(
            "{:?} {} {}",
            origin.source,
            place.unwrap_or_default(),
            origin.value.as_ref().map_or("", |v| v.expose())
        )
    };
    let origins: Vec<String> = explanation.origins.iter().map(line).collect();
    assert_eq!(origins, ["Shell  shell", "EnvFile .env:3 2", "EnvFile .env:1 1"]);
    let uses: Vec<String> =
        explanation.uses.iter().map(|usage| format!("{}{}", usage.operator, usage.word)).collect();
    assert_eq!(uses, [":-9", ""]);
    let service: Vec<String> = explanation.services[0].origins.iter().map(line).collect();
    assert_eq!(service, ["Environment compose.yaml:4 shelly", "ServiceEnvFile s.env:1 file"]);
    assert!(!format!("{explanation:?}").contains("shell\""), "values are not printed by accident");
}
