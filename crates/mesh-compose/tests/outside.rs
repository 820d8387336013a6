//! `x-mesh`: probes from outside of a container, and where ports are published.

mod support;

use mesh_model::{
    health::{HealthTest, Healthcheck, Probe},
    probe::{OutsideTest, Question},
    project::{FileSource, Ports},
};
use std::time::Duration;
use support::{Given, service};

/// The probe of service `a` of a file.
fn probe(given: &Given) -> (OutsideTest, Probe) {
    let service = given.loaded().project.services.remove("a").expect("a service");
    let resolved = service.healthcheck.resolve(None).expect("a probe");
    let HealthTest::Outside(test) = resolved.test.clone() else { panic!("{:?}", resolved.test) };
    (*test, resolved)
}

fn with_probe(probe: &str) -> Given {
    service(&format!("x-mesh:\n  probe: {{{probe}}}"))
}

#[test]
fn short_forms_name_the_port() {
    for (text, port) in [
        ("http: 8080", 8080),
        ("http: ", 80),
        ("http: {scheme: https}", 443),
        ("tcp: 9", 9),
        ("tcp: {port: '${PORT:-7}'}", 7),
        ("grpc: 50051", 50051),
        ("postgres: ", 5432),
        ("redis: {}", 6379),
        ("redis: '16379'", 16379),
    ] {
        assert_eq!(probe(&with_probe(text)).0.port, port, "{text}");
    }
}

#[test]
fn long_forms_say_what_is_asked() {
    let text = "http: {port: 8080, path: /health, method: head, status: 200-204, headers: {X-A: b, Age: 3}, \
                contains: up}, interval: 7s, timeout: 2s, retries: 5, start_period: 1m, start_interval: 1s";
    let (test, probe) = probe(&with_probe(text));
    let Question::Http(http) = &test.question else { panic!("{test:?}") };
    assert_eq!((http.method.as_str(), http.path.as_str(), http.tls), ("HEAD", "/health", false));
    assert_eq!((http.status_min, http.status_max, http.contains.as_deref()), (200, 204, Some("up")));
    assert_eq!((http.headers["X-A"].as_str(), http.headers["Age"].as_str()), ("b", "3"));
    assert_eq!((probe.interval, probe.timeout), (Duration::from_secs(7), Duration::from_secs(2)));
    assert_eq!((probe.retries, probe.start_period), (5, Duration::from_secs(60)));
    assert_eq!(probe.start_interval, Some(Duration::from_secs(1)));
    let (test, probe) = self::probe(&with_probe("postgres: {user: hub}"));
    let question = Question::Postgres { user: "hub".into(), database: "hub".into(), password: None };
    assert_eq!(test.question, question);
    assert_eq!((probe.interval, probe.retries), (Duration::from_secs(30), 3));
}

#[test]
fn a_probe_stands_over_the_health_check_and_has_its_times() {
    let both = "healthcheck: {test: [CMD, 'true'], interval: 7s, timeout: 2s, retries: 9, start_period: 1m}";
    let given = service(&format!("{both}\nx-mesh: {{probe: {{tcp: 5, timeout: 4s}}}}"));
    let (test, probe) = probe(&given);
    assert_eq!(test.port, 5);
    assert_eq!((probe.interval, probe.timeout), (Duration::from_secs(7), Duration::from_secs(4)));
    assert_eq!((probe.retries, probe.start_period), (9, Duration::from_secs(60)));
    assert!(given.loaded().findings.is_empty());
    let none = service("healthcheck: {test: [CMD, 'true']}").loaded().project;
    assert!(matches!(&none.services["a"].healthcheck, Healthcheck::Set(set)
        if matches!(set.test, Some(HealthTest::Command(_)))));
}

#[test]
fn passwords_are_named_and_never_shown() {
    let redis = |password: &str, rest: &str| {
        Given::new(&[(
            "compose.yaml",
            &format!(
                "services:\n  a: {{image: x, x-mesh: {{probe: {{redis: {{password: {password}}}}}}}}}\n{rest}"
            ),
        )])
        .variable("SECRET_OF_REDIS", "hunter2")
    };
    let password = |given: &Given| match probe(given).0.question {
        Question::Redis { password, .. } => password.expect("a password"),
        other => panic!("{other:?}"),
    };
    let given = redis("{environment: SECRET_OF_REDIS}", "");
    assert!(matches!(password(&given), FileSource::Content(text) if text.expose() == "hunter2"));
    let shown = format!("{:?} {}", given.loaded().project, given.loaded().document.to_yaml());
    assert!(!shown.contains("hunter2") && shown.contains("SECRET_OF_REDIS"), "{shown}");
    let given = redis("{secret: s}", "secrets: {s: {file: ./s.txt}}");
    assert!(matches!(password(&given), FileSource::File(path) if path == given.path().join("s.txt")));
    // What `config` prints still declares it.
    assert!(given.loaded().document.to_yaml().contains("s.txt"));
    let text = "services:\n  a: {image: x, x-mesh: {probe: {postgres: {password: {secret: s}}}}}\nsecrets: {s: {file: ./s.txt}}";
    let given = Given::new(&[("compose.yaml", text)]);
    assert!(matches!(
        probe(&given).0.question,
        Question::Postgres { password: Some(FileSource::File(_)), .. }
    ));
    assert!(given.loaded().document.to_yaml().contains("s.txt"));
    for (text, rest, want) in [
        ("hunter2", "", "the probe's password is not named"),
        ("{plain: hunter2}", "", "the probe's password is not named"),
        ("{secret: t}", "", "secret `t`, which is not declared"),
        ("{secret: t}", "secrets: {t: {external: true}}", "secret `t` is external"),
        ("{environment: NOT_SET}", "", "is in NOT_SET, which is not set"),
    ] {
        let told = redis(text, rest).errors();
        assert!(told.contains(want) && !told.contains("hunter2"), "{told}, not {want}");
    }
}

#[test]
fn what_cannot_be_asked_is_told_with_its_place() {
    for (text, want) in [
        ("interval: 1s", "has none of its kinds it is one of http, tcp, grpc, postgres, redis"),
        ("http: 80, tcp: 80", "has http and tcp of its kinds"),
        ("tcp: 0", "from 1 to 65535, not `0`"),
        ("tcp: 65536", "from 1 to 65535"),
        ("tcp: {}", "needs a `port`"),
        ("tcp: ", "this is nothing"),
        ("grpc: {service: x}", "needs a `port`"),
        ("http: {path: health}", "`path` of an http probe must be a path"),
        ("http: {path: '/a b'}", "must be a path"),
        ("http: {path: \"/a\\r\\nX: y\"}", "must be a path"),
        ("http: {method: 'G T'}", "`method` of an http probe"),
        ("http: {status: 99}", "`status` of an http probe"),
        ("http: {status: 300-200}", "`status` of an http probe"),
        ("http: {status: ok}", "`status` of an http probe"),
        ("http: {headers: {'a b': c}}", "header `a b` cannot be sent"),
        ("http: {headers: {a: \"b\\nc\"}}", "header `a` cannot be sent"),
        ("http: {scheme: ftp}", "must be http or https"),
        ("http: {pth: /}", "did you mean `path`?"),
        ("htpp: 80", "did you mean `http`?"),
        ("tcp: 80, interval: soon", "must be a duration"),
        ("postgres: {user: \"a\\0b\"}", "holds a NUL"),
    ] {
        let given = with_probe(text);
        let told = given.errors();
        assert!(told.contains(want), "{text}: {told}");
        assert!(told.contains("compose.yaml:5:"), "{text}: {told}");
    }
    let told = service("network_mode: none\nx-mesh: {probe: {tcp: 80}}").errors();
    assert!(told.contains("has no network to probe it over"), "{told}");
}

#[test]
fn ports_are_the_file_s_unless_it_says_auto() {
    let ports = |text: &str| {
        let given = Given::new(&[("compose.yaml", &format!("services:\n  a: {{image: x}}\n{text}"))]);
        given.loaded().project.publishing.ports()
    };
    assert_eq!(ports(""), Ports::File);
    assert_eq!(ports("x-mesh: {ports: auto}"), Ports::Auto);
    assert_eq!(ports("x-mesh: {ports: file}"), Ports::File);
    let given = Given::new(&[("compose.yaml", "services:\n  a: {image: x}\nx-mesh: {ports: all}\n")]);
    assert!(given.errors().contains("must be file or auto"), "{}", given.errors());
}

#[test]
fn names_follow_the_directory_as_compose_has_it() {
    for (directory, want) in [
        ("shop", Some("shop")),
        ("My Shop.v2", Some("myshopv2")),
        ("--_x-Y_", Some("x-y_")),
        ("Über", Some("ber")),
        ("...", None),
        ("1up", Some("1up")),
    ] {
        let mut given = Given::new(&[(&format!("{directory}/compose.yaml"), "services: {a: {image: x}}\n")]);
        given.options.project_name = None;
        given.options.working_directory = given.path().join(directory);
        match want {
            Some(name) => assert_eq!(given.loaded().project.name, name, "{directory}"),
            None => assert!(given.errors().contains("no name"), "{directory}"),
        }
    }
}
