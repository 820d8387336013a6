//! Where files, names, variables and profiles come from, and what is said when they are not right.

mod support;

use mesh_compose::{InputFile, LoadError, load};
use mesh_model::{develop::WatchAction, network::Published, service::NetworkMode};
use support::{Given, service, shown};

const ONE: &str = "services:\n  a: {image: 'x:${TAG:-none}'}\n";

fn image(given: &Given) -> String {
    given.loaded().project.services["a"].image.clone().expect("an image")
}

#[test]
fn files_are_found_upwards_with_their_override() {
    let mut given = Given::new(&[
        ("docker-compose.yml", "services:\n  a: {image: old}\n"),
        ("compose.yaml", ONE),
        ("compose.override.yaml", "services:\n  a: {user: '7'}\n"),
        (".env", "TAG=dot\n"),
        ("deep/er/x", ""),
    ]);
    given.options.working_directory = given.path().join("deep/er");
    let project = given.loaded().project;
    assert_eq!(project.services["a"].image.as_deref(), Some("x:dot"));
    assert_eq!(project.services["a"].process.user.as_deref(), Some("7"));
    assert_eq!(project.directory, given.path());
    let nothing = Given::new(&[]);
    assert!(matches!(nothing.load(), Err(LoadError::NoFile { .. })));
}

#[test]
fn variables_come_from_the_shell_then_the_files() {
    let files =
        [("compose.yaml", ONE), (".env", "TAG=dot\n"), ("a.env", "TAG=a\n"), ("b.env", "TAG=${TAG}b\n")];
    assert_eq!(image(&Given::new(&files)), "x:dot");
    assert_eq!(image(&Given::new(&files).variable("TAG", "shell")), "x:shell");
    let mut given = Given::new(&files);
    given.options.env_files = vec!["a.env".into(), "b.env".into()];
    assert_eq!(image(&given), "x:ab");
    assert_eq!(image(&Given::new(&files).variable("COMPOSE_ENV_FILES", "a.env")), "x:a");
    given.options.env_files = vec!["none.env".into()];
    assert!(matches!(given.load(), Err(LoadError::Io { .. })));
}

#[test]
fn compose_variables_choose_files_name_and_profiles() {
    let given = Given::new(&[
        (".env", "COMPOSE_FILE=a.yaml;b.yaml\nCOMPOSE_PATH_SEPARATOR=;\nCOMPOSE_PROFILES=p\n"),
        ("a.yaml", "name: from-file\nservices:\n  a: {image: x}\n  b: {image: x, profiles: [p]}\n"),
        ("b.yaml", "services:\n  c: {image: '${COMPOSE_PROJECT_NAME}', profiles: [q]}\n"),
    ]);
    let project = given.loaded().project;
    assert_eq!(project.services.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(project.inactive, ["c"]);
    assert_eq!(project.files.len(), 2);
    let mut given = given.variable("COMPOSE_PROJECT_NAME", "shell");
    given.options.project_name = None;
    given.options.services = vec!["c".to_owned()];
    let project = given.loaded().project;
    assert_eq!((project.name.as_str(), project.services["c"].image.as_deref()), ("shell", Some("shell")));
    given.options.environment.clear();
    assert_eq!(given.loaded().project.name, "from-file");
}

#[test]
fn the_directory_names_the_project() {
    let mut given = Given::new(&[("My.App-1/compose.yaml", ONE)]);
    given.options.project_name = None;
    given.options.working_directory = given.path().join("My.App-1");
    let loaded = given.loaded();
    assert_eq!(loaded.project.name, "myapp-1");
    assert_eq!(loaded.project.networks["default"].name, "myapp-1_default");
    given.options.project_name = Some("Bad Name".to_owned());
    assert!(given.errors().contains("`badname` would do"));
}

#[test]
fn texts_load_as_files_do() {
    let mut given = Given::new(&[]);
    given.options.files = vec![InputFile::Text { name: "-".to_owned(), text: ONE.to_owned() }];
    assert_eq!(image(&given), "x:none");
}

#[test]
fn references_are_checked_with_their_place() {
    for (body, want) in [
        ("depends_on: [b]", "compose.yaml:4:18: error: service `a` depends on undefined service `b`"),
        ("networks: [n]", "compose.yaml:4:16: error: service `a` refers to undefined network `n`"),
        ("volumes: ['v:/v']", "refers to undefined volume `v` declare it under `volumes:`"),
        ("secrets: [s]", "refers to undefined secret `s`"),
        ("configs: [s]", "refers to undefined config `s`"),
        ("depends_on: [a]", "in a circle: a -> a"),
        ("network_mode: service:b", "depends on undefined service `b`"),
        (
            "enviroment: {}",
            "4:5: error: unknown key `enviroment` in `services.a` did you mean `environment`?",
        ),
        ("scale: 2\ncontainer_name: aa", "has a `container_name` and 2 containers"),
        ("stop_grace_period: 10", "must be a duration, this is a number"),
        ("shm_size: big", "must be a size in bytes, not `big`"),
        ("ports: ['99999:1']", "`99999` is not a port"),
        ("environment: 5", "must be a mapping or a list, this is a number"),
        ("volumes: ['/a:/t']\ntmpfs: /t", "something is already mounted at /t"),
        ("image: ${A:?set it}", "key `image` is already set on line 3"),
        ("user: ${A:?set it}", "4:11: error: required variable A is missing a value: set it"),
        ("env_file: none.env", "4:15: error: could not read none.env"),
        ("x-mesh: {substitute: maybe}", "must be never or missing or always"),
    ] {
        let errors = service(body).errors();
        assert!(errors.contains(want), "{body}:\n{errors}");
    }
}

#[test]
fn all_findings_come_at_once_and_warnings_do_not_stop() {
    let errors = service("imge: y\ntty: maybe\nports: [x]\nnetworks: [n]").errors();
    assert_eq!(errors.lines().count(), 4, "{errors}");
    let loaded = service("runtime: runc\nuser: $NOT_SET").loaded();
    let shown = mesh_diag::render(&loaded.findings, mesh_diag::Style::default());
    assert!(
        shown.contains("`runtime` has no effect")
            && shown.contains("The \"NOT_SET\" variable is not set. Defaulting to a blank string."),
        "{shown}"
    );
}

#[test]
fn inactive_dependencies_are_errors_unless_optional() {
    let text = |required: bool| {
        format!(
            "services:\n  a: {{image: x, depends_on: {{b: {{condition: service_started, required: {required}}}}}}}\n  \
             b: {{image: x, profiles: [p]}}\n"
        )
    };
    let errors = Given::new(&[("compose.yaml", &text(true))]).errors();
    assert!(errors.contains("which no chosen profile activates activate it with `--profile p`"), "{errors}");
    let mut given = Given::new(&[("compose.yaml", &text(false))]);
    assert!(given.loaded().project.services["a"].depends_on.is_empty());
    given.options.profiles = vec!["*".to_owned()];
    assert_eq!(given.loaded().project.services["a"].depends_on.len(), 1);
    given.options.profiles = vec!["pp".to_owned()];
    given.options.services = vec!["b".to_owned()];
    let shown = mesh_diag::render(&given.loaded().findings, mesh_diag::Style::default());
    assert!(shown.contains("no such profile: pp") && shown.contains("did you mean `p`?"), "{shown}");
    given.options.profiles.clear();
    given.options.services = vec!["c".to_owned()];
    assert!(given.errors().contains("no such service: c"));
}

#[test]
fn the_model_carries_what_the_file_says() {
    let given = Given::new(&[(
        "compose.yaml",
        "services:\n  a:\n    image: x\n    ports: ['127.0.0.1:8000-8001:80/udp']\n    links: ['b:alias']\n    \
         security_opt: ['no-new-privileges:false']\n    networks: {n: {ipv4_address: 10.1.0.9, priority: 5}}\n    \
         restart: on-failure:3\n    deploy: {resources: {limits: {pids: 9}}, replicas: 2}\n  b: {image: y, networks: \
         [n]}\nnetworks:\n  n: {internal: true, ipam: {config: [{subnet: 10.1.0.0/16}]}}\n  unused: {}\nx-mesh: \
         {substitute: always}\n",
    )]);
    let project = given.loaded().project;
    let a = &project.services["a"];
    assert_eq!((a.scale, a.limits.pids, a.security.no_new_privileges), (2, Some(9), false));
    assert!(project.services["b"].security.no_new_privileges);
    assert_eq!(a.network.ports[0].published, Published::OneOf(8000, 8001));
    let NetworkMode::Networks(of_b) = &project.services["b"].network.mode else { panic!("networks") };
    assert_eq!(of_b["n"].aliases, ["alias"]);
    assert_eq!(project.networks.keys().collect::<Vec<_>>(), ["n"]);
    assert!(project.networks["n"].internal);
    assert_eq!(project.substitute, Some(mesh_model::project::Substitute::Always));
}

#[test]
fn contents_of_secrets_are_nowhere() {
    let given = Given::new(&[(
        "compose.yaml",
        "services:\n  a: {image: x, secrets: [s]}\nsecrets: {s: {environment: PASSWORD}}\n",
    )])
    .variable("PASSWORD", "hunter2");
    let loaded = given.loaded();
    assert!(!loaded.document.to_yaml().contains("hunter2"));
    assert!(!loaded.document.to_json().contains("hunter2"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let broken =
        Given::new(&[("compose.yaml", ONE), (".env", "A=1\nB C=hunter2\n")]).load().expect_err("broken");
    let shown = mesh_diag::render(broken.findings().expect("findings"), mesh_diag::Style::default());
    assert!(shown.starts_with(".env:2:1: error") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_secret_without_its_variable_keeps_those_that_use_it_from_starting() {
    let text =
        "services:\n  a: {image: x, secrets: [s]}\n  b: {image: x}\nsecrets: {s: {environment: NOT_SET}}\n";
    let given = Given::new(&[("compose.yaml", text)]);
    let refused = given.refused();
    assert!(refused.contains("`secrets.s` takes its content from NOT_SET, which is not set"), "{refused}");
    assert!(refused.starts_with("compose.yaml:4:28: error"), "{refused}");
    assert!(given.loaded().refusals.of(|name| name == "b").is_empty());
}

#[test]
fn without_interpolation_the_tree_is_as_written() {
    let mut given = service("ports: ['${PORT}:80']\nuser: $$x");
    given.options.interpolate = false;
    let loaded = given.loaded();
    assert!(loaded.document.to_yaml().contains("${PORT}:80"));
    assert!(loaded.project.services.is_empty());
    assert_eq!(loaded.variables.iter().map(|variable| variable.name.as_str()).collect::<Vec<_>>(), ["PORT"]);
}

#[test]
fn without_interpolation_contradictions_are_told_all_the_same() {
    for (section, want) in [
        ("volumes: {v: {external: true, driver: local}}", "it cannot have a `driver`"),
        ("secrets: {v: {name: a, external: {name: b}}}", "both a `name` and an `external.name`"),
        ("volumes: {v: {external: '${E}', driver: local}}", ""),
    ] {
        let text = format!("services: {{a: {{image: x}}}}\n{section}\n");
        let mut given = Given::new(&[("compose.yaml", &text)]);
        given.options.interpolate = false;
        match given.load() {
            Ok(_) => assert_eq!(want, "", "{section}"),
            Err(error) => {
                assert!(!want.is_empty() && shown(&error).contains(want), "{section}: {}", shown(&error))
            }
        }
    }
    for (key, want) in [
        ("volumes: [{type: bind, target: /b}]", "a bind needs a `source`"),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 1, device_ids: [a]}]}}}",
            "both `count` and `device_ids`",
        ),
    ] {
        let mut given = service(key);
        given.options.interpolate = false;
        let error = given.load().err().map(|error| shown(&error)).unwrap_or_default();
        assert!(error.contains(want), "{key}: {error}");
    }
}

#[test]
fn cut_and_changed_files_never_panic() {
    let text = "services:\n  a: &x\n    image: \"x:${A:-${B:-c}}\"\n    ports: ['80-81:80-81/udp', {target: 1}]\n    \
                volumes: ['./a:/b:ro', v:/c]\n    environment: {<<: {A: 1}, B: |\n      two\n      lines\n      }\n    \
                healthcheck: {test: [CMD, x], interval: 1m}\n  b: {<<: *x, depends_on: [a], deploy: {resources: {limits: \
                {cpus: '.5'}}}}\nvolumes: {v: !override {}}\n";
    let mut options = Given::new(&[]).options;
    let mut try_text = |text: String| {
        options.files = vec![InputFile::Text { name: "t".to_owned(), text }];
        let Ok(loaded) = load(&options) else { return };
        // What is printed is a Compose file of the same meaning, but for keys with a dollar sign: it is
        // doubled when printed, and keys are not interpolated when read.
        let yaml = loaded.document.to_yaml();
        if yaml.contains('$') {
            return;
        }
        options.files = vec![InputFile::Text { name: "t".to_owned(), text: yaml.clone() }];
        let again = load(&options).unwrap_or_else(|error| panic!("{error} {:?}\n{yaml}", error.findings()));
        assert_eq!(again.document.to_yaml(), yaml);
    };
    for end in 0..text.len() {
        try_text(text[..end].to_owned());
        for inserted in ["[", "{", ":", "\n", "$", "- ", "'", "0", "null", "\t"] {
            try_text(format!("{}{inserted}{}", &text[..end], &text[end..]));
            try_text(format!("{}{inserted}{}", &text[..end], &text[end + 1..]));
        }
    }
}

#[test]
fn networks_that_cannot_be_had_are_told_with_their_place() {
    let file = |network: &str, of_a: &str| {
        let text =
            format!("services:\n  a: {{image: x, networks: {{n: {of_a}}}}}\nnetworks:\n  n: {network}\n");
        Given::new(&[("compose.yaml", &text)])
    };
    for (driver, want) in [
        ("macvlan", "publish ports instead"),
        ("ipvlan", "publish ports instead"),
        ("host", "`network_mode: host`"),
        ("none", "`network_mode: none`"),
        ("weave", "bridges only"),
    ] {
        let errors = file(&format!("{{driver: {driver}}}"), "").refused();
        assert!(errors.contains(&format!("`driver: {driver}` is not supported")), "{errors}");
        assert!(errors.contains(want), "{errors}");
    }
    for (network, of_a, want) in [
        ("{driver: overlay}", "", "`driver: overlay` of network `n` has no effect"),
        ("{ipam: {config: [{subnet: '2001:db8::/64'}]}}", "", "subnet of network `n` has no effect"),
        ("{}", "{ipv6_address: '2001:db8::7'}", "`ipv6_address` has no effect"),
    ] {
        let loaded = file(network, of_a).loaded();
        let shown = mesh_diag::render(&loaded.findings, mesh_diag::Style::default());
        assert!(shown.contains(want) && shown.contains("compose.yaml:"), "{shown}");
    }
    for network in ["{driver: bridge}", "{driver: ''}", "{external: true, driver: overlay}"] {
        assert!(file(network, "").loaded().findings.is_empty(), "{network}");
    }
}

#[test]
fn what_cannot_be_had_is_loaded_and_keeps_only_its_service_from_starting() {
    for (body, want) in [
        ("volumes_from: [b]", "4:5: error: `volumes_from` is not supported"),
        ("external_links: [c]", "4:5: error: `external_links` is not supported"),
        ("use_api_socket: true", "4:5: error: `use_api_socket` is not supported"),
        ("gpus: all", "4:5: error: `gpus` is not supported"),
        ("network_mode: container:c", "4:19: error: `network_mode: container:c` is not supported"),
        ("pid: service:b", "`pid: service:b` is not supported"),
        ("volumes: [{type: npipe, source: a, target: /b}]", "volumes of type `npipe` are not supported"),
        ("volumes: [{type: image, source: a, target: /b}]", "volumes of type `image` are not supported"),
        ("volumes: ['/a:b']", "the target `b` of a volume is not an absolute path"),
        ("cap_add: [NET_ADMN]", "`NET_ADMN` is not a capability did you mean `NET_ADMIN`?"),
        ("restart: sometimes", "`services.a.restart` must be no, always, unless-stopped"),
        ("cpus: -1", "`cpus` must be zero or more"),
        ("dns: example.com", "name servers are given by IP address"),
        ("scale: 1001", "a service has at most 1000 containers"),
        ("ports: ['80/sctp']", "ports of protocol `sctp` are not published"),
        ("container_name: '-aa'", "`-aa` cannot name a container"),
        ("tmpfs: '/t:what'", "tmpfs option `what` is not understood"),
        ("models: [m]", "`models` is not supported"),
    ] {
        let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
        let text = format!(
            "services:\n  a:\n    image: x\n{body}  b: {{image: y}}\nmodels: {{m: {{model: ai/x}}}}\n"
        );
        let given = Given::new(&[("compose.yaml", &text)]);
        let refused = given.refused();
        assert!(refused.contains(want), "{body}:\n{refused}");
        let loaded = given.loaded();
        assert!(loaded.refusals.of(|name| name == "b").is_empty(), "{body}");
        assert!(!loaded.refusals.is_empty());
    }
}

#[test]
fn the_bridge_of_an_engine_is_the_default_network() {
    let loaded = service("network_mode: bridge").loaded();
    let NetworkMode::Networks(joined) = &loaded.project.services["a"].network.mode else {
        panic!("networks")
    };
    assert_eq!(joined.keys().collect::<Vec<_>>(), ["default"]);
    assert_eq!(loaded.project.networks["default"].name, "demo_default");
    assert!(!loaded.document.to_yaml().contains("demo_default"));
    let shown = mesh_diag::render(&loaded.findings, mesh_diag::Style::default());
    assert!(shown.contains("`network_mode: bridge` is taken as the project's default network"), "{shown}");
}

#[test]
fn a_service_without_an_image_says_what_is_missing() {
    let given = Given::new(&[("compose.yaml", "services:\n  a: {build: .}\n  b: {build: ., image: x}\n")]);
    let refused = given.refused();
    assert!(refused.contains("compose.yaml:2:14: error: service `a` has no image"), "{refused}");
    assert_eq!(refused.lines().count(), 1);
    let shown = mesh_diag::render(&given.loaded().findings, mesh_diag::Style::default());
    assert!(shown.contains("`build` of service `b` has no effect: its image is used"), "{shown}");
}

#[test]
fn hooks_and_watches_are_in_the_model() {
    let given = service(
        "environment: {OF: service}\npost_start:\n  - {command: 'sh -c \"a b\"', user: root, privileged: true, \
         working_dir: /w, environment: [HOME, B=1, NONE]}\npre_stop: [{command: [x]}]\npre_start:\n  - {image: i, \
         command: [y], per_replica: true}\n  - {}\ndevelop:\n  watch:\n    - {path: ./src, action: sync+exec, target: \
         /src, ignore: a, include: [b, c], initial_sync: true, exec: {command: z}}\n    - {path: ., action: rebuild}",
    );
    let project = given.loaded().project;
    let a = &project.services["a"];
    let after = &a.hooks.post_start[0];
    assert_eq!(after.command, ["sh", "-c", "a b"]);
    assert_eq!((after.user.as_deref(), after.privileged, after.working_dir.as_deref()), {
        (Some("root"), true, Some("/w"))
    });
    let variables: Vec<_> = after.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("B", "1"), ("HOME", "/home/me")]);
    assert_eq!(a.hooks.pre_stop[0].command, ["x"]);
    let before = &a.hooks.pre_start;
    assert_eq!((before[0].image.as_deref(), before[0].per_replica), (Some("i"), true));
    assert_eq!((before[1].image.as_deref(), &before[1].command), (None, &None));
    let watch = &a.watch[0];
    assert_eq!(watch.path, given.path().join("src"));
    assert_eq!((watch.action, watch.target.as_deref()), (WatchAction::SyncExec, Some("/src")));
    assert_eq!(
        (&watch.ignore[..], &watch.include[..]),
        (&["a".to_owned()][..], &["b".to_owned(), "c".to_owned()][..])
    );
    assert!(watch.initial_sync && watch.exec.as_ref().is_some_and(|hook| hook.command == ["z"]));
    assert_eq!(a.watch[1].action, WatchAction::Rebuild);
}

#[test]
fn names_keys_and_booleans_are_those_of_compose() {
    for name in ["A B", "../x", "a/b", "..", "é"] {
        let text = format!("services:\n  '{name}': {{image: x}}\n");
        let errors = Given::new(&[("compose.yaml", &text)]).errors();
        assert!(errors.contains("compose.yaml:2:3: error") && errors.contains("is not a name"), "{errors}");
    }
    let errors = Given::new(&[("compose.yaml", "services:\n  1: {image: x}\n")]).errors();
    assert!(errors.contains("the key 1 is a number, not a string"), "{errors}");
    assert!(service("tty: '1'").errors().contains("`services.a.tty` must be true or false"));
    assert!(service("models: [m]").errors().contains("undefined model `m`"));
}

#[test]
fn an_external_network_needs_nothing_but_its_name() {
    let text = "services:\n  a: {image: x, networks: [n]}\nnetworks:\n  n: {external: true}\n";
    let loaded = Given::new(&[("compose.yaml", text)]).loaded();
    assert!(loaded.findings.is_empty());
    assert!(loaded.project.networks["n"].external);
}

#[test]
fn settings_of_commands_may_stand_in_the_file_of_variables() {
    let given = Given::new(&[
        ("compose.yaml", ONE),
        (".env", "COMPOSE_REMOVE_ORPHANS=1\nCOMPOSE_MENU=0\nTAG=x\n"),
        ("other.env", "COMPOSE_MENU=2\n"),
    ])
    .variable("COMPOSE_MENU", "1");
    let settings = mesh_compose::settings_of_files(&given.options);
    assert_eq!(
        settings.into_iter().collect::<Vec<_>>(),
        [("COMPOSE_REMOVE_ORPHANS".to_owned(), "1".to_owned())]
    );
    let mut given = given;
    given.options.environment.clear();
    given.options.env_files = vec!["other.env".into()];
    assert_eq!(mesh_compose::settings_of_files(&given.options)["COMPOSE_MENU"], "2");
    given.options.env_files = vec!["/dev/null".into()];
    assert!(mesh_compose::settings_of_files(&given.options).is_empty());
}

#[test]
fn a_profile_of_the_environment_need_not_be_known() {
    let given = Given::new(&[("compose.yaml", ONE)]).variable("COMPOSE_PROFILES", "elsewhere");
    assert_eq!(given.loaded().project.services.len(), 1);
}

#[test]
fn the_variables_that_led_to_the_files_count_before_those_beside_them() {
    let mut given = Given::new(&[
        (".env", "COMPOSE_FILE=sub/a.yaml\nCOMPOSE_PROJECT_NAME=outer\nTAG=outer\n"),
        ("sub/.env", "TAG=inner\nMORE=inner\n"),
        ("sub/a.yaml", "services:\n  a: {image: 'x:${TAG}-${MORE}'}\n"),
    ]);
    given.options.project_name = None;
    assert_eq!(image(&given), "x:outer-inner");
    assert_eq!(given.loaded().project.name, "outer");
}
