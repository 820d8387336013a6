//! Lists: searched, sorted, and a page at a time.

use super::{
    Page, Refusal, View,
    item::{Entry, Kind},
    query::Query,
};
use serde_json::Value;
use std::cmp::Ordering;

/// How many are on a page, where nothing is said.
const PER_PAGE: usize = 100;

/// What a list is narrowed to; what is empty narrows nothing.
#[derive(Debug)]
pub(super) struct Criterion<'q> {
    search: String,
    status: &'q str,
    service: &'q str,
    middleware: &'q str,
}

impl<'q> Criterion<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        Self {
            search: query.get("search").to_lowercase(),
            status: query.get("status"),
            service: query.get("serviceName"),
            middleware: query.get("middlewareName"),
        }
    }

    pub(super) fn finds(&self, texts: &[&str]) -> bool {
        self.search.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&self.search))
    }

    pub(super) fn is_status(&self, status: &str) -> bool {
        self.status.is_empty() || status.eq_ignore_ascii_case(self.status)
    }

    fn keeps(&self, entry: &Entry<'_>, kind: Kind) -> bool {
        let router = kind.singular() == "router";
        self.is_status(entry.status.text())
            && self.finds(&[entry.name, entry.rule])
            && (!router || self.has_service(entry.service))
            && (!matches!(kind, Kind::HttpRouter | Kind::TcpRouter)
                || self.middleware.is_empty()
                || entry.middlewares.iter().any(|name| name == self.middleware))
    }

    /// A router may name its service without the provider.
    fn has_service(&self, service: &str) -> bool {
        let named = self.service.split_once('@').map_or(self.service, |(name, _)| name);
        self.service.is_empty()
            || if service.contains('@') { service == self.service } else { service == named }
    }
}

/// A page of a list of things.
pub(super) fn list(
    entries: &[Entry<'_>],
    kind: Kind,
    view: &View<'_>,
    query: &Query,
) -> Result<Page, Refusal> {
    let criterion = Criterion::new(query);
    let mut kept: Vec<&Entry<'_>> = entries.iter().filter(|entry| criterion.keeps(entry, kind)).collect();
    let by = query.get("sortBy");
    let type_of = |entry: &Entry<'_>| kind.type_of(view, entry.name).unwrap_or_default();
    sort(&mut kept, query, |left, right| {
        match by {
            "provider" => left.provider().cmp(right.provider()),
            "priority" => left.priority.cmp(&right.priority),
            "status" => left.status.text().cmp(right.status.text()),
            "rule" => left.rule.cmp(right.rule),
            "service" => left.service.cmp(right.service),
            "entryPoints" => left.entry_points.cmp(&right.entry_points),
            "servers" => left.servers.cmp(&right.servers),
            "type" => type_of(left).cmp(&type_of(right)),
            _ => Ordering::Equal,
        }
        .then_with(|| left.name.cmp(right.name))
    });
    page(&kept, query, |entry| kind.one(view, entry.name).unwrap_or_default())
}

/// Sorts upwards, unless told to sort downwards.
pub(super) fn sort<T>(items: &mut [T], query: &Query, compare: impl Fn(&T, &T) -> Ordering) {
    let up = matches!(query.get("direction"), "" | "asc");
    items.sort_by(|left, right| if up { compare(left, right) } else { compare(right, left) });
}

/// The page that is asked for.
pub(super) fn page<T>(items: &[T], query: &Query, show: impl Fn(&T) -> Value) -> Result<Page, Refusal> {
    let number = |name: &str, default: usize| match query.get(name) {
        "" => Ok(default),
        text => {
            let wrong = || Refusal::Wrong(format!("invalid request: {name}: {text}"));
            text.parse::<usize>().ok().filter(|number| *number > 0).ok_or_else(wrong)
        }
    };
    let (size, page) = (number("per_page", PER_PAGE)?, number("page", 1)?);
    let start = (page - 1).saturating_mul(size);
    if start != 0 && start >= items.len() {
        return Err(Refusal::Wrong(format!("invalid request: page: {page}, per_page: {size}")));
    }
    let end = start.saturating_add(size).min(items.len());
    let next = if end < items.len() { page + 1 } else { 1 };
    Ok(Page { body: items[start..end].iter().map(show).collect(), next: Some(next) })
}
