//! `x-mesh.backup`, `x-mesh.repeat` and `x-mesh.when-no-source` of services.

mod support;

use mesh_model::{backup::Dump, project::WhenNoSource};
use support::service;

fn found(text: &str) -> (WhenNoSource, Option<Dump>) {
    let service = service(text).loaded().project.services.remove("a").expect("a service");
    (service.when_no_source, service.dump)
}

#[test]
fn a_service_may_be_left_out_where_the_file_says_so() {
    for (text, want) in [
        ("restart: always", WhenNoSource::Fail),
        ("x-mesh: {when-no-source: fail}", WhenNoSource::Fail),
        ("x-mesh: {when-no-source: skip}", WhenNoSource::Skip),
    ] {
        assert_eq!(found(text).0, want, "{text}");
    }
    let told = service("x-mesh: {when-no-source: maybe}").errors();
    assert!(format!("{told:?}").contains("fail or skip"), "{told:?}");
}

#[test]
fn a_service_is_run_again_where_the_file_says_so() {
    let repeat = |text: &str| service(text).loaded().project.services.remove("a").expect("a service").repeat;
    assert_eq!(repeat("restart: always"), None);
    for (text, want) in
        [("x-mesh: {repeat: 12h}", 43_200), ("restart: on-failure\nx-mesh: {repeat: 90s}", 90)]
    {
        assert_eq!(repeat(text).map(|interval| interval.as_secs()), Some(want), "{text}");
    }
    for (wrong, words) in [
        ("x-mesh: {repeat: 10ms}", "shorter than a second"),
        ("x-mesh: {repeat: often}", "repeat"),
        ("restart: always\nx-mesh: {repeat: 12h}", "restart: always"),
    ] {
        let told = format!("{:?}", service(wrong).errors());
        assert!(told.contains(words), "{wrong}: {told}");
    }
}

#[test]
fn a_service_trusts_the_gateway_unless_the_file_says_otherwise() {
    for (text, want) in
        [("restart: always", false), ("x-mesh: {trust: true}", false), ("x-mesh: {trust: false}", true)]
    {
        let found = service(text).loaded().project.services.remove("a").expect("a service");
        assert_eq!(found.security.distrusts_gateway, want, "{text}");
    }
    assert!(!service("x-mesh: {trust: maybe}").errors().is_empty());
}

#[test]
fn backups_are_programs_that_write_and_read_a_file() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(found("restart: always").1, None);
    let want = Dump {
        file: "a.dump".to_owned(),
        command: words(&["sh", "-c", "dump | cat $HOME"]),
        restore: words(&["load", "-f", "5"]),
        user: None,
    };
    let text = "x-mesh: {backup: {command: 'dump | cat $$HOME', restore: [load, -f, 5]}}";
    assert_eq!(found(text).1, Some(want.clone()));
    let text =
        "x-mesh: {backup: {file: all.sql, user: db, command: 'dump | cat $$HOME', restore: [load, -f, 5]}}";
    let want = Dump { file: "all.sql".to_owned(), user: Some("db".to_owned()), ..want };
    assert_eq!(found(text).1, Some(want));
    for file in ["../a", "a/b", ".a", "-a", "manifest.json", "manifest.json.sha256"] {
        let text = format!("x-mesh: {{backup: {{file: {file}, command: a, restore: b}}}}");
        let told = service(&text).errors();
        assert!(format!("{told:?}").contains("the name of one file"), "{file}: {told:?}");
    }
    assert!(!service("x-mesh: {backup: {command: a}}").errors().is_empty());
}
