//! Templates beside what Go makes of them: each expectation was printed by Go's `text/template` with
//! Docker's functions.

use super::{OUTPUT_BYTES_MAX, Purpose, STEPS_MAX, Subject, Template, Value};
use std::{collections::BTreeMap, rc::Rc};

fn subject() -> Value {
    let port = |url: &str, target, published, protocol: &str| {
        Value::Record(vec![
            ("URL", url.into()),
            ("TargetPort", Value::Int(target)),
            ("PublishedPort", Value::Int(published)),
            ("Protocol", protocol.into()),
        ])
    };
    let map = [("b", "2"), ("a", "1")].map(|(key, value)| (key.to_owned(), value.into()));
    let fields = [
        ("Name", "web-1".into()),
        ("Empty", "".into()),
        ("Html", "<a&b>".into()),
        ("Code", Value::Int(3)),
        ("Up", Value::Bool(true)),
        ("Load", Value::Float(1.5)),
        ("Labels", "a=b,c=d".into()),
        ("Publishers", Value::List(vec![port("0.0.0.0", 80, 8080, "tcp"), port("", 53, 0, "udp")])),
        ("List", Value::List(["x", "yy", "z"].map(Value::from).into())),
        ("Map", Value::Map(map.into())),
    ];
    let labels = BTreeMap::from([("a.b".to_owned(), "c".to_owned())]);
    Value::Subject(Rc::new(Subject { kind: "main.C", fields: fields.into(), labels: Some(labels) }))
}

fn run(source: &str) -> Result<String, String> {
    let mut text = String::new();
    let template = Template::parse(source).map_err(|error| error.to_string())?;
    template.execute(&subject(), Purpose::Rows, &mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

#[test]
fn templates_give_what_go_gives() {
    let cases: &[(&str, Result<&str, &str>)] = &include!("cases.in");
    for (source, want) in cases {
        assert_eq!(run(source).as_deref().map_err(String::as_str), *want, "{source}");
    }
}

#[test]
fn headers_keep_their_words() {
    let header =
        Subject { kind: "", fields: [("Name", "NAME".into())].into(), labels: Some(BTreeMap::new()) };
    let mut text = String::new();
    let template = Template::parse(
        "{{upper .Name}} {{json .Name}} {{pad .Name 1 1}} {{truncate .Name 1}} {{.Nope}} {{.Label \"a.my-key\"}}",
    );
    template.unwrap().execute(&Value::Subject(Rc::new(header)), Purpose::Header, &mut text).unwrap();
    assert_eq!(text, "NAME NAME  NAME  NAME <no value> my key");
}

#[test]
fn what_has_no_end_is_ended() {
    let check = |source: &str, words: &str| {
        let error = run(source).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    check("{{range 1000000}}{{range 1000000}}{{end}}{{end}}", &format!("more than {STEPS_MAX} steps"));
    check("{{range 1000}}{{pad \"x\" 100000 0}}{{end}}", &format!("more than {OUTPUT_BYTES_MAX} bytes"));
    check("{{pad \"x\" 99999999999 0}}", "spaces");
    check("{{range 20}}{{printf \"%1000000d\" 1}}{{end}}", "bytes");
    check(&"{{if 1}}".repeat(100), "nests deeper");
    check(&format!("{{{{{}1{}}}}}", "(".repeat(100), ")".repeat(100)), "nests deeper");
    check(&"x".repeat(70_000), "longer than");
    check("{{$x := \"aaaaaaaaaa\"}}{{range 40}}{{$x = printf \"%s%s\" $x $x}}{{end}}", "longer than");
    assert_eq!(run("{{printf \"%.99999999f\" 0.5}}").map(|text| text.len()), Ok(1002));
}

#[test]
fn garbage_is_refused_and_nothing_else_happens() {
    let pieces = [
        "{{", "}}", "if", " ", "end", ".", "Name", "$x", ":=", "|", "(", ")", "\"", "range", "1", "-", "é",
        "/*", "else", ",",
    ];
    let mut seed = 7_u64;
    for _ in 0..20_000 {
        let mut source = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            source.push_str(pieces[usize::try_from(seed >> 33).unwrap_or(0) % pieces.len()]);
        }
        let _ = run(&source);
    }
}
