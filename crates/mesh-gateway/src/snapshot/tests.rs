//! What becomes of configurations.

use super::*;
use crate::config::{
    model::{Configuration, Middleware, Named as NamedThings, Router, Server, Service},
    statics::{EntryPoint, Redirection, Statics},
};
use hyper::HeaderMap;

fn statics() -> Statics {
    let mut statics = Statics::default();
    for (name, address) in [("web", ":80"), ("websecure", ":443"), ("traefik", ":8080")] {
        let entry = EntryPoint { address: address.to_owned(), ..EntryPoint::default() };
        statics.entry_points.insert(name.to_owned(), entry);
    }
    statics
}

fn service(url: &str) -> Service {
    let server = Server { url: url.to_owned(), ..Server::default() };
    let balancer = crate::config::model::LoadBalancer { servers: vec![server], ..Default::default() };
    Service { load_balancer: Some(balancer), ..Service::default() }
}

fn router(rule: &str) -> Router {
    Router { rule: rule.to_owned(), service: "s".to_owned(), ..Router::default() }
}

fn configuration(routers: &[(&str, Router)], middlewares: NamedThings<Middleware>) -> Configuration {
    let mut part = Configuration::default();
    part.http.routers = routers.iter().map(|(name, router)| ((*name).to_owned(), router.clone())).collect();
    part.http.services.insert("s".to_owned(), service("http://10.0.0.1:8080"));
    part.http.middlewares = middlewares;
    part
}

fn found<'s>(snapshot: &'s Snapshot, entry: &str, host: &str, path: &str) -> Option<&'s str> {
    let headers = HeaderMap::new();
    let target = Target { method: "GET", host, path, query: "", headers: &headers, client: None };
    snapshot.entry_points[entry].find(&target, false).map(|route| route.name.as_str())
}

#[test]
fn an_index_of_hosts_decides_nothing() {
    let rules = [
        "Host(`a.test`)",
        "Host(`A.test.`) && PathPrefix(`/x`)",
        "Host(`a.test`) || Host(`b.test`)",
        "(Host(`b.test`) || PathPrefix(`/y`)) && Method(`GET`)",
        "PathPrefix(`/x`) && (Host(`c.test`) || Host(`b.test`))",
        "!Host(`a.test`) && Path(`/z`)",
        "Host(`*.a.test`)",
        "HostRegexp(`^[bd]\\.test$`)",
        "Host(`a.test`) && Host(`b.test`)",
        "PathPrefix(`/x/long/enough/to/be/asked/first/of/all/of/these`)",
    ];
    let names: Vec<String> = (0..rules.len()).map(|number| format!("r{number}")).collect();
    let all: Vec<(&str, Router)> =
        names.iter().zip(rules).map(|(name, rule)| (name.as_str(), router(rule))).collect();
    // Each of them left out once, so that what stands behind is seen too.
    for left_out in 0..=all.len() {
        let some: Vec<_> = (0..all.len()).filter(|at| *at != left_out).map(|at| all[at].clone()).collect();
        let snapshot = build(&[("file", &configuration(&some, NamedThings::new()))], &statics());
        let alone = |name: &str, host: &str, path: &str| {
            let one: Vec<_> =
                some.iter().filter(|(known, _)| name == format!("{known}@file")).cloned().collect();
            let snapshot = build(&[("file", &configuration(&one, NamedThings::new()))], &statics());
            found(&snapshot, "web", host, path).is_some()
        };
        let long = "/x/long/enough/to/be/asked/first/of/all/of/these";
        for host in ["a.test", "a.test.", "b.test", "b.test.", "c.test", "d.test", "x.a.test", "", "e"] {
            for path in ["/", "/x", "/y", "/z", long] {
                let mut in_order: Vec<_> = some.clone();
                in_order.sort_by_key(|(_, router)| std::cmp::Reverse(router.rule.len()));
                let first = in_order.iter().map(|(name, _)| format!("{name}@file"));
                let first = first.clone().find(|name| alone(name, host, path));
                assert_eq!(found(&snapshot, "web", host, path).map(str::to_owned), first, "{host} {path}");
            }
        }
    }
}

#[test]
fn the_longest_rule_comes_first_unless_told_otherwise() {
    let routers = [
        ("short", router("Host(`a`)")),
        ("long", router("Host(`a`) && PathPrefix(`/api`)")),
        ("first", Router { priority: 1_000, ..router("Path(`/api/first`)") }),
        ("elsewhere", Router { entry_points: vec!["traefik".to_owned()], ..router("PathPrefix(`/`)") }),
    ];
    let part = configuration(&routers, NamedThings::new());
    let snapshot = build(&[("file", &part)], &statics());
    for (path, expected) in
        [("/", Some("short@file")), ("/api/x", Some("long@file")), ("/api/first", Some("first@file"))]
    {
        assert_eq!(found(&snapshot, "web", "a", path), expected, "{path}");
        assert_eq!(found(&snapshot, "websecure", "a", path), expected, "{path}");
    }
    assert_eq!(found(&snapshot, "web", "b", "/"), None);
    assert_eq!(found(&snapshot, "traefik", "b", "/"), Some("elsewhere@file"));
    assert_eq!(snapshot.routers["short@file"].using, ["web", "websecure"]);
    assert!(snapshot.warnings.is_empty());
}

#[test]
fn what_is_wrong_takes_down_only_what_needs_it() {
    let chain = |names: &[&str]| Middleware {
        chain: Some(crate::config::model::Chain {
            middlewares: names.iter().map(|&name| name.to_owned()).collect(),
        }),
        ..Middleware::default()
    };
    let guard =
        Middleware { plugin: crate::config::model::Unsupported { given: true }, ..Middleware::default() };
    let nothing = crate::config::model::ContentType { auto_detect: Some(false) };
    let comfort = Middleware { content_type: Some(nothing), ..Middleware::default() };
    let lost = crate::config::model::ErrorPage { service: "none".to_owned(), ..Default::default() };
    let pages = Middleware { errors: Some(lost), ..Middleware::default() };
    let middlewares: NamedThings<Middleware> = [
        ("a".to_owned(), chain(&["b"])),
        ("b".to_owned(), chain(&["a"])),
        ("guard".to_owned(), guard),
        ("comfort".to_owned(), comfort),
        ("pages".to_owned(), pages),
    ]
    .into();
    let through = |name: &str| Router { middlewares: vec![name.to_owned()], ..router("Host(`x`)") };
    let routers = [
        ("sound", router("Host(`sound`)")),
        ("comfortable", Router { rule: "Host(`comfort`)".to_owned(), ..through("comfort") }),
        ("guarded", through("guard")),
        ("paged", through("pages")),
        ("unknown", through("nobody")),
        ("round", through("a")),
        ("rule", router("Hots(`a`)")),
        ("lost", Router { service: "none".to_owned(), ..router("Host(`a`)") }),
        ("nowhere", Router { entry_points: vec!["x".to_owned()], ..router("Host(`a`)") }),
        ("half", Router { entry_points: vec!["x".to_owned(), "web".to_owned()], ..router("Host(`half`)") }),
        ("high", Router { priority: i64::MAX - 5, ..router("Host(`a`)") }),
    ];
    let snapshot = build(&[("file", &configuration(&routers, middlewares))], &statics());
    for (name, state, error) in [
        ("sound", State::Enabled, ""),
        ("comfortable", State::Enabled, ""),
        ("guarded", State::Disabled, "plugin is not there yet"),
        ("paged", State::Disabled, "the service \"none@file\" does not exist"),
        ("unknown", State::Disabled, "middleware \"nobody@file\" does not exist"),
        ("round", State::Disabled, "recursion detected in a@file->b@file->a@file"),
        ("rule", State::Disabled, "error while parsing rule Hots(`a`): unsupported function: Hots"),
        ("lost", State::Disabled, "the service \"none@file\" does not exist"),
        ("nowhere", State::Disabled, "no valid entryPoint for this router"),
        ("half", State::Warning, "entryPoint \"x\" doesn't exist"),
        ("high", State::Disabled, "exceeds the max user-defined priority"),
    ] {
        let status = &snapshot.routers[&format!("{name}@file")];
        assert_eq!(status.state, state, "{name}: {status:?}");
        assert!(status.errors.concat().contains(error), "{name}: {status:?}");
    }
    assert_eq!(found(&snapshot, "web", "x", "/"), None);
    assert_eq!(found(&snapshot, "web", "comfort", "/"), Some("comfortable@file"));
}

#[test]
fn entry_points_redirect_and_ping_answers() {
    let mut statics = statics();
    let redirection = Redirection { to: "websecure".to_owned(), ..Redirection::default() };
    if let Some(web) = statics.entry_points.get_mut("web") {
        web.http.redirections.entry_point = Some(redirection);
    }
    statics.ping = Some(crate::config::statics::Ping::default());
    let part = configuration(&[("all", router("PathPrefix(`/`)"))], NamedThings::new());
    let snapshot = build(&[("file", &part)], &statics);
    assert_eq!(found(&snapshot, "web", "a", "/"), Some("web-to-websecure@internal"));
    assert_eq!(found(&snapshot, "websecure", "a", "/"), Some("all@file"));
    assert_eq!(found(&snapshot, "traefik", "a", "/ping"), Some("ping@internal"));
}

#[test]
fn connections_go_to_the_router_that_asks_for_their_name() {
    let labels = "
tcp:
  routers:
    db: {rule: 'HostSNI(`db.test`)', service: db, tls: {passthrough: true}}
    ended: {rule: 'HostSNI(`ended.test`)', service: db, tls: {}, middlewares: [near]}
    rest: {rule: 'HostSNI(`*`)', service: db, tls: {}}
    taken: {rule: 'HostSNI(`taken.test`)', service: db, tls: {}}
    plain: {rule: 'HostSNI(`*`)', service: db}
    wrong: {rule: 'HostSNI(`db.test`)', service: db}
    lost: {rule: 'HostSNI(`*`)', service: none}
  middlewares: {near: {ipAllowList: {sourceRange: [10.0.0.0/8]}}}
  services: {db: {loadBalancer: {servers: [{address: 'a:1'}, {address: 'b:1'}]}}}
http:
  routers:
    web: {rule: 'Host(`web.test`) || Host(`taken.test`)', service: s, tls: {}}
    plain: {rule: 'Host(`plain.test`)', service: s}
    elsewhere: {rule: 'PathPrefix(`/`)', service: s, tls: {}, entryPoints: [websecure]}
  services: {s: {loadBalancer: {servers: [{url: 'http://a'}]}}}
";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.yml"), labels).expect("written");
    let directory = folder.path().display().to_string();
    let provider = crate::config::statics::FileProvider { directory, ..Default::default() };
    let part = crate::config::files::configuration(&provider, &mut Vec::new()).expect("read");
    let snapshot = build(&[("file", &part)], &statics());
    let found = |name: &str, tls: bool| {
        let connection = Connection { server_name: name, client: "10.1.1.1".parse().ok(), protocols: &[] };
        let route = snapshot.entry_points["web"].find_tcp(&connection, tls);
        route.map(|route| (route.name.as_str(), route.ends, route.admits(&connection)))
    };
    for (name, tls, expected) in [
        ("db.test", true, Some(("db@file", Ends::There, true))),
        ("ended.test", true, Some(("ended@file", Ends::Here, true))),
        ("other.test", true, Some(("rest@file", Ends::Here, true))),
        ("web.test", true, None),
        // Its host is asked for by HTTP too, and that goes before.
        ("taken.test", true, None),
        // Nobody asks for that one by HTTP with TLS.
        ("plain.test", true, Some(("rest@file", Ends::Here, true))),
        ("", false, Some(("plain@file", Ends::Plain, true))),
    ] {
        assert_eq!(found(name, tls), expected, "{name}");
    }
    let any = Connection { server_name: "other.test", client: None, protocols: &[] };
    assert!(snapshot.entry_points["websecure"].find_tcp(&any, true).is_none(), "HTTP takes any host there");
    for (name, error) in [("wrong", "no TLS on router"), ("lost", "does not exist")] {
        let status = &snapshot.tcp_routers[&format!("{name}@file")];
        assert_eq!(status.state, State::Disabled);
        assert!(status.errors.concat().contains(error), "{status:?}");
    }
    let connection =
        Connection { server_name: "ended.test", client: "11.1.1.1".parse().ok(), protocols: &[] };
    let route = snapshot.entry_points["web"].find_tcp(&connection, true).expect("a route");
    assert!(!route.admits(&connection));
    let servers: Vec<_> = (0..3).filter_map(|_| route.destination.next()).collect();
    let servers: Vec<_> = servers.iter().map(|(server, _)| server.address.as_str()).collect();
    assert_eq!(servers, ["a:1", "b:1", "a:1"]);
}

#[test]
fn layers_of_services_are_looked_at_as_those_of_routers() {
    let text = "
http:
  routers: {r: {rule: 'Host(`a`)', service: both}, lost: {rule: 'Host(`b`)', service: lost}}
  middlewares:
    head: {headers: {frameDeny: true}}
    pages: {errors: {status: ['500'], service: both, query: /}}
    circle: {errors: {status: ['500'], service: round, query: /}}
    others: {errors: {status: ['500'], service: plain, query: /}}
  services:
    plain: {loadBalancer: {servers: [{url: 'http://a'}]}}
    both: {middlewares: [head, others], weighted: {services: [{name: checked}]}}
    checked: {middlewares: [head], loadBalancer: {servers: [{url: 'http://a'}], healthCheck: {path: /}}}
    falls: {failover: {service: checked, fallback: plain}}
    lost: {middlewares: [nobody], loadBalancer: {servers: [{url: 'http://a'}]}}
    round: {middlewares: [circle], loadBalancer: {servers: [{url: 'http://a'}]}}
";
    let part = crate::config::files::of_text(std::path::Path::new("a.yml"), text).expect("read");
    let snapshot = build(&[("file", &part)], &statics());
    for (name, error) in [
        ("both", ""),
        ("checked", ""),
        ("falls", ""),
        ("lost", "middleware \"nobody@file\" does not exist"),
        ("round", "recursion detected in round@file->round@file"),
    ] {
        let status = snapshot.services.get(&format!("{name}@file")).cloned().unwrap_or_default();
        assert_eq!(status.state == State::Disabled, !error.is_empty(), "{name}: {status:?}");
        assert!(status.errors.concat().contains(error), "{name}: {status:?}");
    }
    assert_eq!(found(&snapshot, "web", "a", "/"), Some("r@file"));
    assert_eq!(found(&snapshot, "web", "b", "/"), None);
    let checked = snapshot.checkers();
    assert_eq!(checked.len(), 1, "servers behind layers are asked");
    assert!(snapshot.is_up("checked@file", "http://a"));
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
}
