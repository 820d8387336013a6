//! Traefik's tables of rules, played.

use super::*;
use crate::suite::{Case, Played, play, texts};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;
use std::net::IpAddr;

/// What the tests ask with where they say nothing.
const DEFAULT_URL: &str = "https://example.com";

/// A request that a row describes.
#[derive(Default)]
struct Asked {
    method: String,
    url: String,
    headers: HeaderMap,
    client: Option<IpAddr>,
}

impl Asked {
    fn of(url: &str) -> Self {
        Self { method: "GET".to_owned(), url: url.to_owned(), ..Self::default() }
    }

    fn matched_by(&self, rule: &HttpRule) -> bool {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let Some(path) = routing_path(path) else { return false };
        rule.matches(&Target {
            method: &self.method,
            host: &canonical_host(authority),
            path: &path,
            query,
            headers: &self.headers,
            client: self.client,
        })
    }
}

/// The status that the tests' requests get.
fn status(matched: bool) -> u64 {
    if matched { 200 } else { 404 }
}

fn address(text: &str) -> Option<IpAddr> {
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    text.parse().ok().or_else(|| host.trim_matches(['[', ']']).parse().ok())
}

fn header_map(pairs: impl Iterator<Item = (String, Vec<String>)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in pairs {
        for value in values {
            let name: HeaderName = name.parse().expect("a header's name");
            headers.append(name, HeaderValue::from_str(&value).expect("a header's value"));
        }
    }
    headers
}

fn http(case: &Case) -> Played {
    match case.test.as_str() {
        "Test_addRoutePriority" => return order(case),
        "TestParseDomains" => return parsed(case, HttpRule::hosts(case.text("expression"))),
        "TestGetRulePriority" => {
            return Played::compare(&case.fields["expected"].as_i64(), &Some(priority(case.text("rule"))));
        }
        "TestRoutingPath" => {
            let expected = Some(case.text("expectedRoutingPath").to_owned());
            return Played::compare(
                &expected,
                &routing_path(case.text("path")).map(|path| path.into_owned()),
            );
        }
        _ => {}
    }
    let older = case.test.contains("V2")
        || ["TestHeadersMatcher", "TestHostRegexp", "Test_addRoute"].contains(&case.test.as_str());
    let text = if case.test == "TestHostRegexp" { case.text("hostExp") } else { case.text("rule") };
    let rule = match HttpRule::parse(text, if older { Syntax::V2 } else { Syntax::V3 }) {
        Ok(rule) => rule,
        Err(_) if case.flag("expectedError") => return Played::Same,
        Err(error) => return Played::Different(format!("refused: {error:?}")),
    };
    if case.flag("expectedError") {
        return Played::Different("taken, though it is none".to_owned());
    }
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for (asked, code) in asked(case) {
        expected.push((asked.url.clone(), code));
        found.push((asked.url.clone(), status(asked.matched_by(&rule))));
    }
    Played::compare(&expected, &found)
}

/// The requests of a row, each with the status that it is to get.
fn asked(case: &Case) -> Vec<(Asked, u64)> {
    if case.test == "TestEmptyHost" {
        // The request line names a host: that is the one that counts, unless it is empty. Then it is Host's.
        let request = case.text("request");
        let url = request.split(' ').nth(1).unwrap_or_default();
        let host = request.split("Host: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let url = url.replace("http://@/", &format!("http://{host}/"));
        return vec![(Asked::of(&url), case.fields["expected"].as_u64().unwrap_or_default())];
    }
    if let Value::Array(list) = &case.fields["expected"] {
        let row = |pair: &Value| {
            let headers = pair["key"].as_object().expect("headers");
            // Go's tests also ask with a name that is not in canonical form, which no connection can bring.
            if headers.keys().any(|name| name.starts_with('x')) {
                return None;
            }
            let headers = header_map(headers.iter().map(|(name, values)| (name.clone(), texts(values))));
            Some((Asked { headers, ..Asked::of(DEFAULT_URL) }, pair["value"].as_u64()?))
        };
        return list.iter().filter_map(row).collect();
    }
    let field = if case.test == "TestHostRegexp" { "urls" } else { "expected" };
    let row = |(key, code): (&str, &Value)| {
        let asked = match case.test.as_str() {
            "TestClientIPMatcher" | "TestClientIPV2Matcher" => {
                Asked { client: address(key), ..Asked::of(DEFAULT_URL) }
            }
            "TestMethodMatcher" | "TestMethodV2Matcher" => {
                Asked { method: key.to_owned(), ..Asked::of(DEFAULT_URL) }
            }
            _ => Asked {
                client: address(case.text("remoteAddr")),
                headers: header_map(case.pairs("headers").map(|(name, value)| {
                    (name.to_owned(), vec![value.as_str().unwrap_or_default().to_owned()])
                })),
                ..Asked::of(key)
            },
        };
        (asked, code.as_u64().unwrap_or_default())
    };
    case.pairs(field).map(row).collect()
}

fn parsed(case: &Case, found: Result<Vec<String>, RuleError>) -> Played {
    match (case.flag("errorExpected"), found) {
        (true, Err(_)) => Played::Same,
        (false, Ok(found)) => Played::compare(&case.texts("domain"), &found),
        (_, found) => Played::Different(format!("{found:?}")),
    }
}

/// Which of several rules is asked first.
fn order(case: &Case) -> Played {
    const PRECEDENCE: &[&str] =
        &["kubernetesgateway", "kubernetescrd", "kubernetes", "kubernetesingressnginx"];
    let mut rules: Vec<_> = case
        .items("cases")
        .iter()
        .map(|item| {
            let text = item["rule"].as_str().unwrap_or_default();
            let given = item["priority"].as_i64().filter(|given| *given != 0);
            let provider = item["providerName"].as_str().unwrap_or_default();
            let place =
                crate::snapshot::Place::new(given.unwrap_or_else(|| priority(text)), provider, PRECEDENCE);
            (place, HttpRule::parse(text, Syntax::V3).expect("a rule"), item["xFrom"].clone())
        })
        .collect();
    rules.sort_by_key(|rule| rule.0);
    let asked = Asked::of(&format!("http://localhost{}", case.text("path")));
    let first = rules.iter().find(|(_, rule, _)| asked.matched_by(rule));
    Played::compare(&case.fields["expected"], &first.map_or(Value::Null, |(_, _, from)| from.clone()))
}

fn tcp(case: &Case) -> Played {
    match case.test.as_str() {
        "TestParseHostSNI" | "TestParseHostSNIV2" => {
            return parsed(case, TcpRule::names(case.text("expression")));
        }
        "TestGetRulePriority" => {
            return Played::compare(
                &case.fields["expected"].as_i64(),
                &Some(TcpRule::priority(case.text("rule"))),
            );
        }
        "Test_HostSNICatchAll" | "Test_HostSNICatchAllV2" => {
            return Played::compare(&case.flag("isCatchAll"), &TcpRule::takes_all(case.text("rule")));
        }
        "Test_Priority" => return tcp_order(case),
        _ => {}
    }
    let syntax = if case.test.ends_with("V2") { Syntax::V2 } else { Syntax::V3 };
    let refused = case.flag("buildErr") || case.flag("routeErr");
    let rule = match TcpRule::parse(&tcp_text(case), syntax) {
        Ok(rule) => rule,
        Err(_) if refused => return Played::Same,
        Err(error) => return Played::Different(format!("refused: {error:?}")),
    };
    if refused {
        return Played::Different("taken, though it is none".to_owned());
    }
    let asked = |name: &str| {
        let remote = ["remoteAddr", "remoteIP"].map(|field| case.text(field)).concat();
        let single = Some(case.text("connProto")).filter(|protocol| !protocol.is_empty()).map(str::to_owned);
        let protocols: Vec<String> = case.texts("protos").into_iter().chain(single).collect();
        // Names come in small letters where the test makes a connection of them.
        let name =
            if case.test.starts_with("Test_addTCPRoute") { name.to_lowercase() } else { name.to_owned() };
        rule.matches(&Connection { server_name: &name, client: address(&remote), protocols: &protocols })
    };
    if let Some(expected) =
        ["expected", "serverNames"].iter().find_map(|field| case.fields[field].as_object())
    {
        let found: serde_json::Map<_, _> = expected
            .keys()
            .map(|key| {
                let matched = match case.test.as_str() {
                    "Test_ClientIP" | "Test_ClientIPV2" => {
                        rule.matches(&Connection { server_name: "", client: address(key), protocols: &[] })
                    }
                    "Test_ALPN" | "Test_ALPNV2" => rule.matches(&Connection {
                        server_name: "",
                        client: None,
                        protocols: std::slice::from_ref(key),
                    }),
                    _ => asked(key),
                };
                (key.clone(), Value::Bool(matched))
            })
            .collect();
        return Played::compare(expected, &found);
    }
    let wanted = case.fields["match"].as_bool().unwrap_or(!case.flag("matchErr"));
    Played::compare(&wanted, &asked(case.text("serverName")))
}

/// The rule of a row; some rows have only what is given to one matcher.
fn tcp_text(case: &Case) -> String {
    let call = |name: &str, values: Vec<String>| {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        format!("{name}({})", values.join(", "))
    };
    match case.test.as_str() {
        "Test_HostSNIV2" => call("HostSNI", case.texts("ruleHosts")),
        "Test_HostSNIRegexpV2" => call("HostSNIRegexp", vec![case.text("pattern").to_owned()]),
        "Test_ClientIPV2" => call("ClientIP", case.texts("ruleCIDRs")),
        "Test_ALPNV2" => call("ALPN", case.texts("ruleALPNProtos")),
        _ => case.text("rule").to_owned(),
    }
}

fn tcp_order(case: &Case) -> Played {
    let mut rules: Vec<_> = case
        .items("rules")
        .iter()
        .map(|item| {
            let (text, provider) = (item["rule"].as_str().unwrap_or_default(), item["provider"].as_str());
            let priority = item["priority"].as_i64().unwrap_or_default();
            let provider = provider.unwrap_or_default();
            let place = crate::snapshot::Place::new(priority, provider, &["kubernetescrd", "kubernetes"]);
            (place, text, provider)
        })
        .collect();
    rules.sort_by_key(|rule| rule.0);
    let connection = Connection { server_name: case.text("serverName"), client: None, protocols: &[] };
    let first = rules
        .iter()
        .find(|(_, text, _)| TcpRule::parse(text, Syntax::V3).is_ok_and(|rule| rule.matches(&connection)));
    let found = first.map(|(_, rule, provider)| (*rule, *provider));
    Played::compare(&Some((case.text("expectedRule"), case.text("expectedProvider"))), &found)
}

/// Whether a tree is the one that a row describes.
fn same_tree(expected: &Value, tree: &Tree) -> bool {
    let pair = |name: &str, left: &Tree, right: &Tree| {
        expected["Matcher"] == name
            && same_tree(&expected["RuleLeft"], left)
            && same_tree(&expected["RuleRight"], right)
    };
    match tree {
        Tree::And(left, right) => pair("and", left, right),
        Tree::Or(left, right) => pair("or", left, right),
        Tree::Matcher(call) => {
            expected["Matcher"] == call.name
                && expected["Not"] == call.negated
                && texts(&expected["Value"]) == call.values
                && expected["CheckErr"] == call.check().is_err()
        }
    }
}

fn tree(case: &Case) -> Played {
    match (case.flag("expectParseErr"), Tree::parse(case.text("rule"), &["m"])) {
        (true, Err(_)) => Played::Same,
        (false, Ok(tree)) if same_tree(&case.fields["tree"], &tree) => {
            let found: Vec<String> =
                case.texts("matchers").iter().flat_map(|name| tree.values_of(name)).collect();
            Played::compare(&case.texts("values"), &found)
        }
        (_, found) => Played::Different(format!("{found:?}")),
    }
}

#[test]
fn http_rules_are_traefiks() {
    play("pkg/muxer/http", &[], http);
}

#[test]
fn tcp_rules_are_traefiks() {
    play("pkg/muxer/tcp", &[], tcp);
}

#[test]
fn trees_are_traefiks() {
    play("pkg/rules", &[], tree);
}
