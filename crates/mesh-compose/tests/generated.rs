//! Secrets that nobody wrote down.

mod support;

use mesh_compose::generate::{HIDDEN, Keeper, LENGTH_DEFAULT, Wish};
use mesh_model::project::FileSource;
use mesh_redact::Secret;
use std::{collections::BTreeMap, sync::Arc};
use support::Given;

const FILE: &str = r#"
x-mesh:
  generate:
    DB_PASSWORD: {length: 32, charset: hex}
    TOKEN:
services:
  db:
    image: postgres
    environment: {POSTGRES_PASSWORD: "${DB_PASSWORD}", URL: "postgres://me:${DB_PASSWORD:?}@db/", TOKEN: }
    secrets: [key]
secrets:
  key:
    x-mesh: {generate: {length: 8, charset: abc}}
"#;

/// Answers with the name of what is asked for.
#[derive(Debug)]
struct Names;

impl Keeper for Names {
    fn values(
        &self,
        project: &str,
        wishes: &BTreeMap<String, Wish>,
    ) -> Result<BTreeMap<String, Secret<String>>, String> {
        let value = |name: &str| Secret::new(format!("{project}/{name}"));
        Ok(wishes.keys().map(|name| (name.clone(), value(name))).collect())
    }
}

#[derive(Debug)]
struct Refuses;

impl Keeper for Refuses {
    fn values(
        &self,
        _: &str,
        _: &BTreeMap<String, Wish>,
    ) -> Result<BTreeMap<String, Secret<String>>, String> {
        Err("the disk is full".to_owned())
    }
}

fn kept(text: &str) -> Given {
    let mut given = Given::new(&[("compose.yaml", text)]);
    given.options.keeper = Some(Arc::new(Names));
    given
}

#[test]
fn values_reach_variables_and_secrets() {
    let loaded = kept(FILE).loaded();
    let service = &loaded.project.services["db"];
    assert_eq!(service.environment["POSTGRES_PASSWORD"], "demo/DB_PASSWORD");
    assert_eq!(service.environment["URL"], "postgres://me:demo/DB_PASSWORD@db/");
    assert_eq!(service.environment["TOKEN"], "demo/TOKEN");
    assert!(
        matches!(&loaded.project.secrets["key"], FileSource::Content(value) if value.expose() == "demo/key")
    );
    let wish = |length, characters: &str| Wish { length, characters: characters.to_owned() };
    assert_eq!(loaded.wishes["DB_PASSWORD"], wish(32, "0123456789abcdef"));
    assert_eq!(loaded.wishes["key"], wish(8, "abc"));
    assert_eq!(loaded.wishes["TOKEN"].length, LENGTH_DEFAULT);
}

#[test]
fn who_writes_a_value_has_it() {
    let written = kept(FILE).variable("DB_PASSWORD", "mine").variable("TOKEN", "").loaded();
    let service = &written.project.services["db"];
    assert_eq!(service.environment["POSTGRES_PASSWORD"], "mine");
    assert_eq!(service.environment["TOKEN"], "demo/TOKEN", "an empty one is not written");
}

#[test]
fn without_a_keeper_nothing_is_shown() {
    let mut given = kept(FILE);
    given.options.keeper = None;
    let loaded = given.loaded();
    assert_eq!(loaded.project.services["db"].environment["POSTGRES_PASSWORD"], HIDDEN);
    given.options.keeper = Some(Arc::new(Refuses));
    let told = support::shown(&given.load().unwrap_err());
    assert!(told.contains("cannot be had: the disk is full"), "{told}");
}

#[test]
fn wishes_that_cannot_be_met_are_told() {
    for (wish, expected) in [
        ("{length: 4}", "from 8 to 4096"),
        ("{charset: alphanum}", "alphanumeric, letters, digits"),
        ("{size: 9}", "size"),
        ("yes", "must be"),
    ] {
        let text = format!("x-mesh: {{generate: {{A: {wish}}}}}\nservices: {{a: {{image: a}}}}\n");
        let told = support::shown(&kept(&text).load().unwrap_err());
        assert!(told.contains(expected), "{wish}: {told}");
    }
}

#[test]
fn another_tool_may_take_a_file() {
    let text =
        "services: {a: {image: a, secrets: [k]}}\nsecrets: {k: {file: ./k.txt, x-mesh: {generate: {}}}}\n";
    let loaded = kept(text).loaded();
    assert!(matches!(&loaded.project.secrets["k"], FileSource::Content(value) if value.expose() == "demo/k"));
}

#[test]
fn an_included_file_cannot_wish_alone() {
    let included = "services: {a: {image: a, secrets: [k]}}\nsecrets: {k: {x-mesh: {generate: {}}}}\n";
    let mut given = Given::new(&[("compose.yaml", "include: [other.yaml]\n"), ("other.yaml", included)]);
    given.options.keeper = Some(Arc::new(Names));
    let findings = given.loaded().refusals.of(|_| true);
    let told = format!("{findings:?}");
    assert!(told.contains("only a file of the project itself"), "{told}");
}
