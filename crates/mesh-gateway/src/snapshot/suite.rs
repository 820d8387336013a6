//! Traefik's tests of load balancers, played: what they do, step by step, is written down as rows.

use super::{
    choice::{Asker, Busy, Choice, Strategy},
    sticky::Sticky,
};
use crate::{
    config::model::Cookie,
    suite::{Case, Played, play, texts},
};
use hyper::{
    HeaderMap,
    header::{COOKIE, HeaderValue},
};
use serde_json::Value;
use std::{collections::HashSet, net::IpAddr, time::Duration};

/// What a test has got so far.
struct Game {
    names: Vec<String>,
    choice: Choice,
    /// Where those that are chosen from are balancers themselves: the servers of each.
    within: Vec<(Vec<String>, Choice)>,
    down: HashSet<String>,
    busy: Vec<Busy>,
    headers: HeaderMap,
}

fn cookie(config: &Value) -> Result<Option<Sticky>, String> {
    if config.is_null() {
        return Ok(None);
    }
    let config: Cookie = serde_json::from_value(config.clone()).map_err(|error| error.to_string())?;
    Ok(Some(Sticky::new(&config, "test")))
}

impl Game {
    fn new(strategy: Strategy, case: &Case) -> Result<Self, String> {
        let member = |server: &Value| {
            (server["name"].as_str().unwrap_or_default().to_owned(), server["weight"].as_i64().unwrap_or(1))
        };
        let members: Vec<_> = case.items("servers").iter().map(member).collect();
        let inner = |names: &Value| {
            let members: Vec<_> = texts(names).into_iter().map(|name| (name, 1)).collect();
            (texts(names), Choice::new(strategy, &members, None))
        };
        Ok(Self {
            within: case.items("within").iter().map(inner).collect(),
            names: members.iter().map(|(name, _)| name.clone()).collect(),
            choice: Choice::new(strategy, &members, cookie(&case.fields["cookie"])?),
            down: HashSet::new(),
            busy: Vec::new(),
            headers: HeaderMap::new(),
        })
    }

    fn at(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).expect("a server of the row")
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        self.down.extend(texts(&step["down"]));
        for name in texts(&step["up"]) {
            self.down.remove(&name);
        }
        for (name, times) in step["times"].as_object().into_iter().flatten() {
            let load = self.choice.load(self.at(name)).expect("a load");
            let times = times.as_array().into_iter().flatten().filter_map(Value::as_u64);
            times.for_each(|time| load.took(Duration::from_millis(time)));
        }
        for (name, count) in step["busy"].as_object().into_iter().flatten() {
            let load = self.choice.load(self.at(name)).expect("a load");
            self.busy.extend((0..count.as_u64().unwrap_or_default()).map(|_| load.busy()));
        }
        for (name, score) in step["score"].as_object().into_iter().flatten() {
            let found = self.choice.load(self.at(name)).expect("a load").score(1.0);
            if (found - score.as_f64().unwrap_or_default()).abs() > 1e-9 {
                return Err(format!("{name}: the score is {found}, not {score}"));
            }
        }
        match step["ask"].as_u64() {
            Some(times) => self.ask(step, usize::try_from(times).expect("a count")),
            None => Ok(()),
        }
    }

    /// Asks as often as a step says, and compares who answered.
    fn ask(&mut self, step: &Value, times: usize) -> Result<(), String> {
        if let Some(brought) = step["bring"].as_str() {
            self.headers.insert(COOKIE, HeaderValue::from_str(brought).expect("a value"));
        }
        let clients: Vec<IpAddr> =
            texts(&step["clients"]).iter().filter_map(|client| client.parse().ok()).collect();
        let (mut sequence, mut told) = (Vec::new(), String::new());
        for turn in 0..times {
            let client = clients.get(turn).copied().or_else(|| "192.0.2.1".parse().ok());
            let asker = Asker { headers: &self.headers, client };
            let up = |name: &String| !self.down.contains(name);
            let is_up = |at: usize| match self.within.get(at) {
                Some((names, _)) => names.iter().any(up),
                None => up(&self.names[at]),
            };
            let Some(mut chosen) = self.choice.choose(asker, is_up) else { continue };
            let (mut names, mut choice) = (&self.names, &self.choice);
            if let Some(inner) = self.within.get(chosen.at) {
                (names, choice) = (&inner.0, &inner.1);
                chosen = choice.choose(asker, |at| up(&names[at])).expect("a server of one that is up");
            }
            let name = &names[chosen.at];
            let load = choice.load(chosen.at).expect("a load");
            if let Some(time) = step["takes"][name].as_u64() {
                load.took(Duration::from_millis(time));
            }
            if step["hold"] == true {
                self.busy.push(load.busy());
            }
            if let Some(cookie) = chosen.cookie.filter(|_| step["keep"] == true) {
                told = cookie.to_str().expect("text").to_owned();
                if self.names.iter().any(|name| told.contains(&format!("={name};"))) {
                    return Err(format!("{told} tells a server's name"));
                }
                let pair = told.split(';').next().unwrap_or_default();
                self.headers.insert(COOKIE, HeaderValue::from_str(pair).expect("a value"));
            }
            sequence.push(name.clone());
        }
        for attribute in texts(&step["attributes"]) {
            if !told.split("; ").any(|found| found == attribute) {
                return Err(format!("{told} is without {attribute}"));
            }
        }
        judge(step, &sequence)
    }
}

/// Compares who answered with what a step expects.
fn judge(step: &Value, sequence: &[String]) -> Result<(), String> {
    let count = |name: &str| {
        let count = sequence.iter().filter(|found| *found == name).count();
        u64::try_from(count).expect("a count")
    };
    let found: HashSet<&String> = sequence.iter().collect();
    let delta = step["delta"].as_u64().unwrap_or_default();
    for (name, expected) in step["counts"].as_object().into_iter().flatten() {
        if count(name).abs_diff(expected.as_u64().unwrap_or_default()) > delta {
            return Err(format!("{name} was asked {} times, not {expected}", count(name)));
        }
    }
    for (name, least) in step["more"].as_object().into_iter().flatten() {
        if count(name) <= least.as_u64().unwrap_or_default() {
            return Err(format!("{name} was asked {} times, not more than {least}", count(name)));
        }
    }
    let all = texts(&step["all"]);
    if !all.is_empty() && found != all.iter().collect() {
        return Err(format!("{found:?} were asked, not {all:?}"));
    }
    if step["none"] == true && !sequence.is_empty() {
        return Err(format!("{sequence:?} were asked, not nobody"));
    }
    if step["same"] == true && found.len() != 1 {
        return Err(format!("{found:?} were asked, not one"));
    }
    let expected = texts(&step["sequence"]);
    if !expected.is_empty() && expected != sequence {
        return Err(format!("expected {expected:?}, found {sequence:?}"));
    }
    Ok(())
}

fn balanced(strategy: Strategy, case: &Case) -> Played {
    if case.flag("foreign") {
        // Servers that are fenced, which only providers for Kubernetes know, and functions of the test's.
        return Played::Foreign;
    }
    let played = Game::new(strategy, case)
        .and_then(|mut game| case.items("steps").iter().try_for_each(|step| game.step(step)));
    played.map_or_else(Played::Different, |()| Played::Same)
}

/// Whom a cookie names, and whether it is replaced; what a cookie says of other sites.
fn sticky(case: &Case) -> Played {
    if case.test == "TestConvertSameSite_CaseInsensitive" {
        let config = Cookie { same_site: case.text("input").to_owned(), ..Cookie::default() };
        let told = Sticky::new(&config, "test").cookie("a").expect("a cookie");
        let told = told.to_str().expect("text");
        let found = told.split("; ").find_map(|pair| pair.strip_prefix("SameSite=")).unwrap_or_default();
        // The numbers of Go's constants.
        let expected = match case.fields["expected"].as_u64() {
            Some(2) => "Lax",
            Some(3) => "Strict",
            Some(4) => "None",
            _ => "",
        };
        return Played::compare(&expected, &found);
    }
    let mut headers = HeaderMap::new();
    for cookie in case.items("cookies") {
        let of = |field: &str| cookie[field].as_str().unwrap_or_default().to_owned();
        let pair = match cookie.as_str() {
            Some(pair) => pair.to_owned(),
            None => format!("{}={}", of("Name"), of("Value")),
        };
        headers.append(COOKIE, HeaderValue::from_str(&pair).expect("a value"));
    }
    let servers = case.texts("handlers");
    let config = Cookie { name: "test".to_owned(), ..Cookie::default() };
    let found = Sticky::new(&config, "test").named(&headers, servers.iter().map(String::as_str));
    let (name, newer) = found.unwrap_or_default();
    Played::compare(&(case.text("wantHandler").to_owned(), case.flag("wantRewrite")), &(name, newer))
}

#[test]
fn servers_take_turns_as_with_traefik() {
    const BALANCERS: &str = "pkg/server/service/loadbalancer";
    for (name, strategy) in [
        ("wrr", Strategy::Turns),
        ("hrw", Strategy::Hash),
        ("p2c", Strategy::TwoChoices),
        ("leasttime", Strategy::LeastTime),
    ] {
        play(&format!("{BALANCERS}/{name}"), &[], |case| balanced(strategy, case));
    }
    play(BALANCERS, &[], sticky);
}
