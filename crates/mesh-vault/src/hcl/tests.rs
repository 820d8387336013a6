//! Texts and what they mean.

use super::{parse, parse_body};
use serde_json::json;

#[test]
fn configuration_and_policies() {
    for (text, expected) in [
        ("", json!({})),
        (
            "a = 1 # one\nb = -2.5 // two\n/* three */ c = 0x10, d = \"x\"",
            json!({"a": 1, "b": -2.5, "c": 16, "d": "x"}),
        ),
        ("list = [\"a\", true, [1,],\n]", json!({"list": ["a", true, [1]]})),
        ("storage \"file\" { path = \"/data\" }", json!({"storage": {"file": {"path": "/data"}}})),
        (
            "path \"a/*\" { capabilities = [\"read\"] }\npath \"b\" { capabilities = [] }",
            json!({"path": {"a/*": {"capabilities": ["read"]}, "b": {"capabilities": []}}}),
        ),
        ("path \"a\" { x = 1 }\npath \"a\" { x = 2 }", json!({"path": {"a": [{"x": 1}, {"x": 2}]}})),
        ("t { x = 1 }\nt { x = 2 }\nt { x = 3 }", json!({"t": [{"x": 1}, {"x": 2}, {"x": 3}]})),
        ("o = { a = 1, \"b c\" = { d = 2 } }", json!({"o": {"a": 1, "b c": {"d": 2}}})),
        ("h = <<EOF\n one\n two\nEOF\nx = 1", json!({"h": " one\n two\n", "x": 1})),
        ("h = <<-EOF\n    one\n      two\n    EOF\n", json!({"h": "one\n  two\n"})),
        (r#"s = "a\"\\\n\u00e9\ud83d\ude00${x}""#, json!({"s": "a\"\\\né😀${x}"})),
        (
            r#"{"path": {"a": {"capabilities": ["read"]}}, "n": null}"#,
            json!({"path": {"a": {"capabilities": ["read"]}}, "n": null}),
        ),
        ("\u{feff}a.b-c_1 = true", json!({"a.b-c_1": true})),
    ] {
        assert_eq!(parse(text).map_err(|error| error.to_string()), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        ("a = 1\na = 2", "At 2:1: the argument \"a\" was already set"),
        ("a", "At 1:2: expected '=' or '{' after key \"a\", found the end"),
        ("a = b", "At 1:5: unknown value \"b\""),
        ("path \"x\" {", "At 1:11: expected a key, found the end"),
        ("a = \"x", "At 1:5: literal not terminated"),
        ("a = [1 2]", "At 1:8: expected ',' or ']'"),
        ("a = 1e", "At 1:5: \"1e\" is no number"),
        ("a = <<EOF\nx", "At 1:5: heredoc not terminated"),
        ("/* x", "At 1:1: comment not terminated"),
        ("é = \u{1}", "At 1:5: illegal character"),
        ("{} x", "At 1:4: nothing may follow"),
        ("a = \"\\ud800\"", "At 1:12: illegal escape"),
        ("}", "At 1:1: expected a key, found '}'"),
        ("a = inf", "At 1:5: unknown value"),
        ("a = -nan", "At 1:5: \"-nan\" is no number"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    for open in ["[", "{a=", "a {"] {
        let text = format!("x = 1\n{}", format!("a = {open}").repeat(100_000));
        assert!(parse(&text).is_err());
    }
    assert!(parse(&format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    // A label is an object too.
    let labelled = |labels: usize| format!("a {}{{ b = 1 }}", "x ".repeat(labels));
    assert!(parse(&labelled(31)).is_ok());
    assert!(parse(&labelled(32)).unwrap_err().problem.starts_with("nested more than 32 deep"));
    assert!(parse(&format!("c {{ {} }}", labelled(31))).is_err());
}

#[test]
fn blocks_are_found_however_they_are_written() {
    for text in [
        "listener \"tcp\" { address = \"a\" }\nlistener \"tcp\" { address = \"b\" }",
        r#"{"listener": [{"tcp": {"address": "a"}}, {"tcp": {"address": "b"}}]}"#,
        r#"{"listener": {"tcp": [{"address": "a"}, {"address": "b"}]}}"#,
        r#"listener = [{ tcp = { address = "a" } }, { tcp { address = "b" } }]"#,
    ] {
        let body = parse_body(text).unwrap();
        let blocks = body.blocks("listener");
        let found: Vec<_> = blocks
            .iter()
            .map(|(label, body, _)| (label.as_str(), body.get("address").unwrap().value.to_value()))
            .collect();
        assert_eq!(found, [("tcp", json!("a")), ("tcp", json!("b"))], "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z\"{}\\[\\]=:,#/*<\\-\\\\\n 0-9EOFéu$]{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn json_is_read_as_it_is(text in "\\PC{0,20}", number in proptest::prelude::any::<i64>(), flag: bool) {
        let written = json!({"a": {"b": [text, number, flag, null]}, "c": text});
        proptest::prop_assert_eq!(parse(&written.to_string()).ok(), Some(written));
    }
}
