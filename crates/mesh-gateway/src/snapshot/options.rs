//! Which TLS options hosts have, by the routers that ask for them.
//!
//! Options are chosen by the name that a client asks for, before its request is known. So they belong to hosts: where two
//! routers want different ones for the same host, both get the default ones.

use super::{Status, Table, provider_of, qualified};
use crate::{
    config::{
        model::{Named, Router},
        statics::Statics,
    },
    handshake::DEFAULT,
    rule::HttpRule,
};
use std::collections::BTreeSet;

/// The options that a router asks for, by their whole name.
pub(super) fn named(asked: &str, router: &str) -> String {
    if asked.is_empty() || asked == DEFAULT {
        DEFAULT.to_owned()
    } else {
        qualified(asked, provider_of(router))
    }
}

/// What routers ask for.
#[derive(Debug, Default)]
pub(super) struct Options {
    routers: Named<Vec<Wanted>>,
    /// By entry point and host; none where routers do not agree.
    hosts: Named<Named<Option<String>>>,
    /// The entry points where a router names no host.
    any: BTreeSet<String>,
}

#[derive(Debug)]
struct Wanted {
    entry: String,
    options: String,
    hosts: Vec<String>,
    known: bool,
}

impl Options {
    pub(super) fn add(&mut self, name: &str, router: &Router, known: &[String], statics: &Statics) {
        for entry in &router.entry_points {
            let Some(point) = statics.entry_points.get(entry) else { continue };
            let Some(tls) = router.tls.as_ref().or(point.http.tls.as_ref()) else { continue };
            let options = named(&tls.options, name);
            let hosts = HttpRule::hosts(&router.rule).unwrap_or_default();
            if hosts.is_empty() {
                self.any.insert(entry.clone());
            }
            for host in &hosts {
                let of_entry = self.hosts.get_or_default(entry);
                let before = of_entry.get_or_insert_with(host, || Some(options.clone()));
                if before.as_ref() != Some(&options) {
                    *before = None;
                }
            }
            let known = options == DEFAULT || known.contains(&options);
            let wanted = Wanted { entry: entry.clone(), options, hosts, known };
            self.routers.get_or_default(name).push(wanted);
        }
    }

    /// Says how a router stands, and what its requests have to come by.
    pub(super) fn judge(&self, name: &str, status: &mut Status, tables: &mut Named<Table>) {
        for wanted in self.routers.get(name).into_iter().flatten() {
            let Wanted { entry, options, hosts, known } = wanted;
            if !known {
                status.error(format!("unknown TLS options: {options}"), true);
                if let Some(table) = tables.get_mut(entry) {
                    table.tls.all_mut().retain(|route| route.name != name);
                }
                continue;
            }
            if hosts.is_empty() {
                if options != DEFAULT {
                    let message =
                        format!("no domain found in its rule, the TLS option {options} cannot be applied");
                    status.error(message, false);
                }
                continue;
            }
            let agreed = hosts.iter().all(|host| self.resolved(entry, host) == options);
            if !agreed {
                status.error(
                    "router's TLSOptions configuration is conflicting with other routers on the same entrypoint and \
                     host, default TLS options will be used instead"
                        .to_owned(),
                    false,
                );
            }
            let resolved = if agreed { options } else { DEFAULT };
            let routes = tables.get_mut(entry).into_iter().flat_map(|table| table.tls.all_mut());
            for route in routes.filter(|route| route.name == name) {
                route.options = Some(resolved.into());
            }
        }
    }

    pub(super) fn finish(self, tables: &mut Named<Table>) {
        for (entry, hosts) in self.hosts {
            if let Some(table) = tables.get_mut(&entry) {
                let options = |options: Option<String>| options.unwrap_or_else(|| DEFAULT.to_owned());
                table.options = hosts.into_iter().map(|(host, wanted)| (host, options(wanted))).collect();
            }
        }
        for entry in self.any {
            if let Some(table) = tables.get_mut(&entry) {
                table.any_host = true;
            }
        }
    }

    fn resolved(&self, entry: &str, host: &str) -> &str {
        let found = self.hosts.get(entry).and_then(|hosts| hosts.get(host)).and_then(Option::as_deref);
        found.unwrap_or(DEFAULT)
    }
}
