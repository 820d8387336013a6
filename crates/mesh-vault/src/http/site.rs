//! What is served: the API, and the page.

use super::{body::Space, respond};
use crate::{
    config::Listener,
    core::{Answer, Call, Core},
    ui,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response,
    header::{HeaderName, HeaderValue},
};
use std::sync::Arc;

/// One for all listeners.
#[derive(Debug)]
pub struct Site {
    core: Arc<Core>,
    ui: bool,
    pub(super) space: Space,
}

impl Site {
    /// Of a core, with or without the page.
    #[must_use]
    pub fn new(core: Arc<Core>, ui: bool) -> Arc<Self> {
        Arc::new(Self { core, ui, space: Space::default() })
    }

    pub(super) async fn serve(&self, call: Call, options: &Listener) -> Answer {
        if options.open_metrics && call.path == "sys/metrics" && call.token.is_none() {
            return self.open_metrics(&call);
        }
        self.core.serve(call).await
    }

    /// `sys/metrics` of a listener that needs no token for it.
    fn open_metrics(&self, call: &Call) -> Answer {
        let (metrics, sealed) = (&self.core.metrics, self.core.sealed());
        if !call.query.iter().any(|(key, value)| key == "format" && value == "prometheus") {
            return Answer::json(200, &metrics.json(sealed));
        }
        Answer {
            status: 200,
            content_type: "text/plain; version=0.0.4".to_owned(),
            body: metrics.prometheus(sealed).into_bytes(),
            headers: Vec::new(),
        }
    }

    /// What is not below `/v1/`.
    pub(super) fn page(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let known = path == "/" || path == "/robots.txt" || path.starts_with("/ui");
        if !known {
            return respond::answer(Answer::errors(404, &[]), None);
        }
        if !self.ui {
            return respond::plain(404, "404 page not found\n");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return respond::plain(405, "405 method not allowed\n");
        }
        if path == "/" || path == "/ui" {
            return respond::redirect(307, "/ui/", None);
        }
        let Some(file) = ui::file(path) else { return respond::plain(404, "404 page not found\n") };
        let answer = Answer {
            status: 200,
            content_type: file.content_type.to_owned(),
            body: file.content.as_bytes().to_vec(),
            headers: Vec::new(),
        };
        let mut response = respond::answer(answer, None);
        for (name, value) in ui::HEADERS {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}
