//! What the API says of a gateway's configuration.

use super::*;
use crate::{config::model::Configuration, snapshot};

const DYNAMIC: &str = "
http:
  routers:
    app: {rule: 'Host(`app.test`)', service: app, middlewares: [users], tls: {}}
    lost: {rule: 'Host(`lost.test`)', service: nobody, entryPoints: [web]}
  middlewares:
    users: {basicAuth: {users: ['test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}}
  services: {app: {loadBalancer: {servers: [{url: 'http://10.0.0.1'}, {url: 'http://10.0.0.2'}]}}}
tcp:
  routers: {db: {rule: 'HostSNI(`*`)', service: db}}
  services: {db: {loadBalancer: {servers: [{address: '10.0.0.3:5432'}]}}}
udp:
  routers: {dns: {entryPoints: [web], service: dns}}
  services: {dns: {loadBalancer: {servers: [{address: '10.0.0.4:53'}]}}}
";

fn configured() -> Configuration {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.yml"), DYNAMIC).expect("written");
    let directory = folder.path().display().to_string();
    let provider = crate::config::statics::FileProvider { directory, ..Default::default() };
    crate::config::files::configuration(&provider, &mut Vec::new()).expect("read")
}

fn statics(api: crate::config::statics::Api) -> Statics {
    let mut statics = Statics { api: Some(api), ping: Some(Default::default()), ..Statics::default() };
    for (name, address) in [("web", ":80"), ("traefik", ":8080")] {
        let entry = crate::config::statics::EntryPoint { address: address.to_owned(), ..Default::default() };
        statics.entry_points.insert(name.to_owned(), entry);
    }
    statics
}

fn ask(statics: &Statics, path: &str, headers: &HeaderMap) -> Reply {
    let snapshot = snapshot::build(&[("file", &configured())], statics);
    let view = View { statics, started: SystemTime::UNIX_EPOCH, snapshot: &snapshot, certificates: None };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    view.answer(&Method::GET, path, Some(query), headers)
}

fn json(statics: &Statics, path: &str) -> Value {
    let reply = ask(statics, path, &HeaderMap::new());
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{path}: {error}: {reply:?}"))
}

#[test]
fn what_is_routed_is_told_without_secrets() {
    let insecure = crate::config::statics::Api { insecure: true, ..Default::default() };
    let statics = statics(insecure);
    let router = json(&statics, "/api/http/routers/app@file");
    assert_eq!(router["using"], json!(["web"]));
    assert_eq!(router["tls"], json!({"options": "default"}));
    assert_eq!(router["priorityStr"], "16");
    assert_eq!(router["provider"], "file");
    let lost = json(&statics, "/api/http/routers/lost@file");
    assert_eq!(
        (&lost["status"], lost["error"][0].as_str()),
        (&json!("disabled"), Some("the service \"nobody@file\" does not exist"))
    );
    let service = json(&statics, "/api/http/services/app@file");
    assert_eq!(service["usedBy"], json!(["app@file"]));
    assert_eq!(service["serverStatus"], json!({"http://10.0.0.1": "UP", "http://10.0.0.2": "UP"}));
    assert_eq!(
        (&service["type"], &service["loadBalancer"]["strategy"]),
        (&json!("loadbalancer"), &json!("wrr"))
    );
    let raw = json(&statics, "/api/rawdata");
    assert!(!raw.to_string().contains("apr1"));
    assert_eq!(raw["middlewares"]["users@file"]["usedBy"], json!(["app@file"]));
    for name in ["api@internal", "dashboard@internal", "ping@internal"] {
        assert_eq!(raw["routers"][name]["status"], "enabled", "{name}: {raw}");
    }
    assert_eq!(raw["services"]["noop@internal"]["status"], "enabled");
    let overview = json(&statics, "/api/overview");
    assert_eq!(overview["http"]["routers"], json!({"total": 5, "warnings": 0, "errors": 1}));
    assert_eq!(overview["udp"]["routers"], json!({"total": 1, "warnings": 0, "errors": 1}));
    let entry = json(&statics, "/api/entrypoints/web");
    assert_eq!(entry["transport"]["lifeCycle"]["graceTimeOut"], "10s");
    assert_eq!(entry["transport"]["respondingTimeouts"]["readTimeout"], "1m0s");
    assert_eq!(json(&statics, "/api/version")["startDate"], "1970-01-01T00:00:00Z");
}

#[test]
fn services_that_nobody_answers_for_are_not_counted_as_well() {
    let statics = statics(Default::default());
    let text = "
http:
  services:
    none: {loadBalancer: {servers: []}}
    whole: {loadBalancer: {servers: [{url: 'http://10.0.0.1'}]}}
    one: {weighted: {services: [{name: whole}, {name: none}]}}
    lost: {weighted: {services: [{name: none}]}}
    saved: {failover: {service: none, fallback: whole, errors: {status: ['500']}}}
tcp:
  services: {none: {loadBalancer: {servers: []}}}
";
    let part = crate::config::files::of_text(std::path::Path::new("a.yml"), text).expect("read");
    let snapshot = snapshot::build(&[("file", &part)], &statics);
    let view =
        View { statics: &statics, started: SystemTime::UNIX_EPOCH, snapshot: &snapshot, certificates: None };
    let told = |path: &str| -> Value {
        let reply = view.answer(&Method::GET, path, None, &HeaderMap::new());
        serde_json::from_slice(&reply.body).expect("JSON")
    };
    let counted = told("/api/overview");
    // `none` and `lost` are down, `one` and `saved` have somebody left.
    let [total, warnings, errors] =
        ["total", "warnings", "errors"].map(|key| counted["http"]["services"][key].as_u64());
    assert_eq!((warnings, errors), (Some(2), Some(2)), "{counted}");
    assert!(total > Some(4));
    assert_eq!(counted["tcp"]["services"], json!({"total": 1, "warnings": 0, "errors": 1}));
    for (name, condition) in
        [("none", json!("down")), ("lost", json!("down")), ("saved", json!("partly")), ("whole", Value::Null)]
    {
        let service = told(&format!("/api/http/services/{name}@file"));
        assert_eq!((&service["condition"], &service["status"]), (&condition, &json!("enabled")), "{name}");
    }
}

#[test]
fn lists_are_narrowed_sorted_and_paged() {
    let statics = statics(Default::default());
    let names = |query: &str| -> Vec<String> {
        let list = json(&statics, &format!("/api/http/routers?{query}"));
        let names = list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
        names.map(str::to_owned).collect()
    };
    for (query, expected) in [
        ("", &["app@file", "lost@file", "ping@internal"][..]),
        ("status=disabled", &["lost@file"]),
        ("search=APP.t", &["app@file"]),
        ("serviceName=app@file", &["app@file"]),
        ("middlewareName=users@file", &["app@file"]),
        ("sortBy=priority&direction=desc", &["ping@internal", "lost@file", "app@file"]),
        ("sortBy=entryPoints", &["app@file", "lost@file", "ping@internal"]),
        ("per_page=2&page=2", &["ping@internal"]),
    ] {
        assert_eq!(names(query), expected, "{query}");
    }
    for (query, status, next) in [
        ("per_page=2", 200, "2"),
        ("per_page=2&page=2", 200, "1"),
        ("per_page=2&page=3", 400, ""),
        ("page=0", 400, ""),
        ("page=99999999999999999999", 400, ""),
        ("page=18446744073709551615&per_page=18446744073709551615", 400, ""),
    ] {
        let reply = ask(&statics, &format!("/api/http/routers?{query}"), &HeaderMap::new());
        let found = reply.headers.get(NEXT_PAGE).map_or("", |next| next.to_str().expect("a number"));
        assert_eq!((reply.status.as_u16(), found), (status, next), "{query}");
    }
}

#[test]
fn paths_that_are_none_lead_nowhere() {
    let based = crate::config::statics::Api { base_path: "/gate".to_owned(), ..Default::default() };
    let hidden = crate::config::statics::Api { dashboard: false, ..Default::default() };
    for (api, path, status, place) in [
        (Default::default(), "/api/http", 404, ""),
        (Default::default(), "/api/http/routers/nobody", 404, ""),
        (Default::default(), "/api/http/nothing", 404, ""),
        (Default::default(), "/", 302, "/dashboard/"),
        (Default::default(), "/dashboard/", 200, ""),
        (based.clone(), "/gate/api/version", 200, ""),
        (based.clone(), "/api/version", 404, ""),
        (based, "/gate/", 302, "/gate/dashboard/"),
        (hidden, "/dashboard/", 404, ""),
        (Default::default(), "/api/support-dump", 200, ""),
    ] {
        let reply = ask(&statics(api), path, &HeaderMap::new());
        let found = reply.headers.get(LOCATION).map_or("", |place| place.to_str().expect("a path"));
        assert_eq!((reply.status.as_u16(), found), (status, place), "{path}");
    }
    for (prefix, expected) in [
        ("/app/", "/app/dashboard/"),
        ("//evil.test", "/dashboard/"),
        ("https://evil.test", "/dashboard/"),
        ("/\\evil.test", "/dashboard/"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-prefix", HeaderValue::from_str(prefix).expect("a value"));
        let reply = ask(&statics(Default::default()), "/", &headers);
        assert_eq!(reply.headers[LOCATION], expected, "{prefix}");
    }
}
