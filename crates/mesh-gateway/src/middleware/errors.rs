//! Pages of another service in place of errors.

use super::{LayerError, Statuses, exchange::Exchange};
use crate::{config::model, snapshot::Destination};
use hyper::{
    Method, StatusCode,
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

#[derive(Debug)]
pub(crate) struct Errors {
    statuses: Statuses,
    rewrites: Vec<(Statuses, StatusCode)>,
    query: String,
    /// The only ones that go on; none if all do.
    headers: Option<Vec<HeaderName>>,
    service: String,
    pages: OnceLock<Arc<Destination>>,
}

impl Errors {
    pub(super) fn new(config: &model::ErrorPage) -> Result<Self, LayerError> {
        let rewrite = |(from, to): (&String, &u16)| {
            let to = StatusCode::from_u16(*to).map_err(|_| LayerError::Status(*to))?;
            Ok::<_, LayerError>((Statuses::parse(std::slice::from_ref(from))?, to))
        };
        let header = |name: &String| name.parse().map_err(|_| LayerError::HeaderName(name.clone()));
        Ok(Self {
            statuses: Statuses::parse(&config.status)?,
            rewrites: config.status_rewrites.iter().map(rewrite).collect::<Result<_, _>>()?,
            query: config.query.clone(),
            headers: config
                .error_request_headers
                .as_ref()
                .map(|names| names.iter().map(header).collect::<Result<_, _>>())
                .transpose()?,
            service: config.service.clone(),
            pages: OnceLock::new(),
        })
    }

    /// The service with the pages, and where it is put once it is known.
    pub(super) fn wants(&self) -> (&str, &OnceLock<Arc<Destination>>) {
        (&self.service, &self.pages)
    }

    /// Where pages are, if this status is one that has another.
    pub(crate) fn pages(&self, status: StatusCode) -> Option<&Arc<Destination>> {
        self.pages.get().filter(|_| self.statuses.contain(status))
    }

    /// The status that the client gets.
    pub(crate) fn status(&self, found: StatusCode) -> StatusCode {
        let rewritten = self.rewrites.iter().find(|(from, _)| from.contain(found));
        rewritten.map_or(found, |(_, to)| *to)
    }

    /// The request for a page.
    pub(crate) fn question(&self, asked: &Exchange, found: StatusCode) -> Exchange {
        let status = self.status(found);
        let scheme = if asked.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", asked.host, asked.target());
        let mut target = String::new();
        if !self.query.is_empty() {
            target = format!("/{}", self.query.trim_start_matches('/'))
                .replace("{status}", status.as_str())
                .replace("{originalStatus}", found.as_str())
                .replace("{url}", &query_escaped(&url));
        }
        let mut question = Exchange { method: Method::GET, ..asked.clone() };
        if let Some(names) = &self.headers {
            question.headers.clear();
            for name in names {
                for value in asked.headers.get_all(name) {
                    question.headers.append(name, value.clone());
                }
            }
        }
        for name in
            [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING, UPGRADE]
        {
            question.headers.remove(name);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (target, None),
        };
        question.path = if path.is_empty() { "/".to_owned() } else { path };
        question.query = query;
        question
    }
}

/// As a value in a query, the way Go's `QueryEscape` writes it.
pub(super) fn query_escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            // Writing to a text cannot fail.
            other => drop(write!(out, "%{other:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_with_what_happened() {
        let config = model::ErrorPage {
            status: vec!["500-599".to_owned()],
            status_rewrites: [("503".to_owned(), 500)].into(),
            query: "/{originalStatus}/{status}.html?of={url}".to_owned(),
            error_request_headers: Some(vec!["X-Id".to_owned()]),
            ..Default::default()
        };
        let layer = Errors::new(&config).expect("a layer");
        let mut asked =
            Exchange { host: "a.test".to_owned(), path: "/x y".to_owned(), ..Exchange::default() };
        asked.headers.insert("x-id", "1".parse().expect("a value"));
        asked.headers.insert("cookie", "1".parse().expect("a value"));
        let question = layer.question(&asked, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(question.target(), "/503/500.html?of=http%3A%2F%2Fa.test%2Fx+y");
        assert!(question.headers.contains_key("x-id") && !question.headers.contains_key("cookie"));
        assert_eq!(layer.status(StatusCode::BAD_GATEWAY), StatusCode::BAD_GATEWAY);
        assert!(layer.pages(StatusCode::BAD_GATEWAY).is_none(), "nobody has led it anywhere");
        let none = model::ErrorPage { error_request_headers: Some(Vec::new()), ..config.clone() };
        let question = Errors::new(&none).expect("a layer").question(&asked, StatusCode::BAD_GATEWAY);
        assert!(question.headers.is_empty(), "an empty list lets none through: {:?}", question.headers);
        let all = model::ErrorPage { error_request_headers: None, ..config };
        let question = Errors::new(&all).expect("a layer").question(&asked, StatusCode::BAD_GATEWAY);
        assert_eq!(question.headers.len(), 2);
        let wrong = model::ErrorPage { status: vec!["x".to_owned()], ..Default::default() };
        assert!(Errors::new(&wrong).is_err());
    }
}
