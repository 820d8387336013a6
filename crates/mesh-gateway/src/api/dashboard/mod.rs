//! A page of everything that is routed. It is one document that asks the read API and nobody else.
//!
//! Its policy lets nothing run but the script that is in it, which is named by its digest; nothing is fetched from
//! elsewhere. What it shows is written as text, never as markup.

use crate::middleware::Reply;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const DOCUMENT: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The document, and its policy.
static PAGE: LazyLock<(Bytes, Option<HeaderValue>)> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(SCRIPT),
        digest(STYLE)
    );
    let document = DOCUMENT.replace("{style}", STYLE).replace("{script}", SCRIPT);
    (Bytes::from(document), HeaderValue::from_str(&policy).ok())
});

pub(super) fn page() -> Reply {
    let (document, policy) = &*PAGE;
    let mut headers = Box::new(HeaderMap::new());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Some(policy) = policy {
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Reply { status: StatusCode::OK, headers, body: document.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_page_is_elsewhere_or_inline() {
        let reply = page();
        let policy = reply.headers[CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = std::str::from_utf8(&reply.body).expect("text");
        for part in ["{style}", "{script}", "src=", "style=", "onclick", "innerHTML", "@import", "eval("] {
            assert!(!text.contains(part), "{part}");
        }
        // The name of a drawing's language is the one address in it; nobody goes there.
        let addresses = text.matches("://").count() - text.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses, 0);
        assert!(text.contains("</script>") && text.contains("</style>"));
        assert!(reply.body.len() < 40 << 10, "{} bytes", reply.body.len());
    }
}
