//! Any text as HCL: reading ends without a panic, what is wrong has a place in the text, and what is read says the
//! same once it is written as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_vault::hcl::{Body, Node, parse, parse_body};

fn check_lines(body: &Body, lines: usize) {
    for entry in &body.entries {
        assert!((1..=lines).contains(&(entry.line as usize)), "line {} of {lines}", entry.line);
        check_node(&entry.value, lines);
    }
}

fn check_node(node: &Node, lines: usize) {
    match node {
        Node::Scalar(_) => {}
        Node::List(nodes) => nodes.iter().for_each(|node| check_node(node, lines)),
        Node::Object(body) => check_lines(body, lines),
    }
}

fuzz_target!(|text: &str| {
    let lines = text.split('\n').count();
    match parse_body(text) {
        Ok(body) => {
            check_lines(&body, lines);
            for entry in &body.entries {
                assert!(body.get(&entry.key).is_some());
                drop(body.blocks(&entry.key));
            }
            let written = parse(text).expect("it was read before").to_string();
            // Blocks are not counted as deep as the objects they are.
            let again = match parse(&written) {
                Ok(again) => again.to_string(),
                Err(error) => return assert!(error.problem.contains("nested"), "{error}: {written}"),
            };
            // A number may lose its last digit once.
            let third = parse(&again).expect("JSON is read").to_string();
            assert_eq!(third, again, "{written}");
        }
        Err(error) => {
            assert!((1..=lines).contains(&(error.line as usize)), "line {} of {lines}: {error}", error.line);
            assert!(error.column >= 1 && !error.problem.is_empty(), "{error}");
        }
    }
});
