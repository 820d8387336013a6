//! Any two texts as policies of a vault, and any path asked for: nothing panics, `root` is nobody's by text, and a
//! `deny` for the path itself is never outdone by what the texts say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_vault::{
    logical::{Object, Operation},
    policy::{Acl, Asked, Pattern, parse},
};

const OPERATIONS: [Operation; 6] = [
    Operation::Create,
    Operation::Read,
    Operation::Update,
    Operation::Patch,
    Operation::Delete,
    Operation::List,
];

fuzz_target!(|texts: (String, String, String)| {
    let (one, two, path) = texts;
    let policies: Vec<_> = [&one, &two].into_iter().filter_map(|text| parse("fuzz", text).ok()).collect();
    let data = Object::new();
    let asked = |operation| Asked { operation, path: &path, data: &data, wrap_ttl: None };
    let acl = Acl::new(&policies);
    for operation in OPERATIONS {
        assert!(!acl.judge(&asked(operation)).root);
    }
    let _ = (acl.capabilities(&path), acl.reaches(&path), acl.describe());
    // A rule that means exactly this path.
    let plain = Pattern::parse(&path) == Some(Pattern::Exact(path.clone()))
        && !path.contains("{{")
        && !path.contains("}}");
    let text = serde_json::json!({ "path": { path.as_str(): { "capabilities": ["deny"] } } }).to_string();
    let Some(deny) = parse("deny", &text).ok().filter(|_| plain) else { return };
    for acl in [Acl::new(policies.iter().chain([&deny])), Acl::new([&deny].into_iter().chain(&policies))] {
        for operation in OPERATIONS {
            assert!(!acl.judge(&asked(operation)).allowed, "{operation:?} {path:?} is allowed");
        }
        assert_eq!(acl.capabilities(&path), ["deny"]);
    }
});
