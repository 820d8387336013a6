//! Headers that are between two hops and go no further (RFC 9110, section 7.6.1).

use hyper::{
    HeaderMap,
    header::{
        CONNECTION, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
};

/// What is always between two hops. `Trailer` is not among them: it says what follows a body that is handed on.
static HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What both sides want to go on with after the request's head; none if nothing else than HTTP.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| wants).cloned()
}

/// Takes out what is between two hops, and what `Connection` names; but nothing that says on whose behalf a request is.
pub(super) fn remove(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(|name| HOP.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = tokens(headers).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().filter(|name| !keep(name)) {
        headers.remove(name);
    }
    let trailers = headers.get_all(TE).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("trailers")))
    });
    for name in &HOP {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Asks the next hop to go on with something else.
pub(super) fn ask_for(headers: &mut HeaderMap, upgrade: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, upgrade);
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_keep_what_is_theirs() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-secret, X-Forwarded-For"),
            ("x-secret", "a"),
            ("x-forwarded-for", "b"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "5"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(upgrade(&headers), None);
        remove(&mut headers, |name| name.as_str() == "x-forwarded-for");
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "te", "x-forwarded-for"]);
        assert_eq!(headers["te"], "trailers");
    }
}
