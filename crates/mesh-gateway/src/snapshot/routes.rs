//! Routers in the order in which they are asked, found by the hosts that they name.
//!
//! Most rules name hosts. Those are only asked for requests to these, so that a request costs the same beside a
//! thousand routers of other names as beside one. An index only leaves out what could not match: what is asked, and in
//! which order, decides as if all were.

use super::Route;
use crate::rule::Target;
use std::collections::HashMap;

/// Routers of an entry point.
#[derive(Debug, Default)]
pub(super) struct Routes {
    all: Vec<Route>,
    /// Places of those that want a host, by it, without the periods that may be at its end.
    of_host: HashMap<String, Vec<usize>>,
    /// Places of the others.
    of_any: Vec<usize>,
}

impl Routes {
    /// Adds a router; found once they are [`Routes::order`]ed.
    pub(super) fn push(&mut self, route: Route) {
        self.all.push(route);
    }

    /// Those that are to be changed, or to go; [`Routes::order`] comes afterwards.
    pub(super) fn all_mut(&mut self) -> &mut Vec<Route> {
        &mut self.all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Puts them in their order.
    pub(super) fn order(&mut self) {
        self.all.sort_by_key(|route| route.place);
        self.of_host.clear();
        self.of_any.clear();
        for (at, route) in self.all.iter().enumerate() {
            let Some(hosts) = route.rule.needs_hosts() else {
                self.of_any.push(at);
                continue;
            };
            for host in hosts {
                let places = self.of_host.entry(key(host).to_owned()).or_default();
                if places.last() != Some(&at) {
                    places.push(at);
                }
            }
        }
    }

    /// The router for a request.
    pub(super) fn find(&self, target: &Target<'_>) -> Option<&Route> {
        let named = self.of_host.get(key(target.host)).map_or(&[][..], Vec::as_slice);
        let (mut named, mut any) = (named.iter().peekable(), self.of_any.iter().peekable());
        loop {
            let at = match (named.peek(), any.peek()) {
                (Some(one), Some(other)) if one < other => named.next(),
                (Some(_), None) => named.next(),
                _ => any.next(),
            };
            let route = self.all.get(*at?)?;
            if route.rule.matches(target) {
                return Some(route);
            }
        }
    }
}

fn key(host: &str) -> &str {
    host.trim_end_matches('.')
}
