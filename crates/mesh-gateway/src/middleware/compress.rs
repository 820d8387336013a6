//! Whether an answer is made smaller, and how.

use super::{LayerError, exchange::Exchange};
use crate::config::model;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        HeaderValue, VARY,
    },
};

/// Smaller answers stay as they are, where nothing is said.
const LEAST_BYTES: u64 = 1_024;
/// What gRPC's messages are: they are made smaller within.
const GRPC: &str = "application/grpc";

/// A way of making answers smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Brotli,
    Zstd,
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Compress {
    excluded: Vec<Kind>,
    included: Vec<Kind>,
    least_bytes: u64,
    encodings: Vec<Encoding>,
    unasked: Option<Encoding>,
}

/// What a body is: its type, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_lowercase();
        let (kind, sub) = essence.split_once('/').unwrap_or((&essence, "x"));
        let is_token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte))
        };
        if !is_token(kind) || !is_token(sub) {
            return None;
        }
        let mut parameters = Vec::new();
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            parameters.push((name.trim().to_lowercase(), value.trim().trim_matches('"').to_owned()));
        }
        parameters.sort();
        if parameters.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        Some(Self { essence, parameters })
    }

    fn takes(&self, other: &Self) -> bool {
        self.essence == other.essence && (self.parameters.is_empty() || self.parameters == other.parameters)
    }
}

impl Compress {
    pub(super) fn new(config: &model::Compress) -> Result<Self, LayerError> {
        if !config.excluded_content_types.is_empty() && !config.included_content_types.is_empty() {
            return Err(LayerError::ContentTypes);
        }
        let kinds = |texts: &[String]| -> Result<Vec<Kind>, LayerError> {
            let parse =
                |text: &String| Kind::parse(text).ok_or_else(|| LayerError::ContentType(text.clone()));
            texts.iter().map(parse).collect()
        };
        let mut excluded = kinds(&config.excluded_content_types)?;
        excluded.push(Kind { essence: GRPC.to_owned(), parameters: Vec::new() });
        if config.encodings.is_empty() {
            return Err(LayerError::NoEncoding);
        }
        let encoding =
            |name: &String| Encoding::named(name).ok_or_else(|| LayerError::Encoding(name.clone()));
        let encodings: Vec<Encoding> = config.encodings.iter().map(encoding).collect::<Result<_, _>>()?;
        let unasked = match config.default_encoding.as_str() {
            "" => None,
            name => match Encoding::named(name).filter(|found| encodings.contains(found)) {
                Some(found) => Some(found),
                None => return Err(LayerError::DefaultEncoding(name.to_owned())),
            },
        };
        Ok(Self {
            excluded,
            included: kinds(&config.included_content_types)?,
            least_bytes: u64::try_from(config.min_response_body_bytes)
                .ok()
                .filter(|size| *size > 0)
                .unwrap_or(LEAST_BYTES),
            encodings,
            unasked,
        })
    }

    /// How a client would like an answer.
    pub(crate) fn wanted(&self, exchange: &Exchange) -> Option<Encoding> {
        let asked = exchange.header(CONTENT_TYPE.as_str()).and_then(Kind::parse);
        let excluded = |asked: &Kind| self.excluded.iter().any(|kind| kind.essence == asked.essence);
        if exchange.method == Method::HEAD || asked.as_ref().is_some_and(excluded) {
            return None;
        }
        let mut accepted = exchange.headers.get_all(ACCEPT_ENCODING).iter().peekable();
        if accepted.peek().is_none() {
            return self.unasked;
        }
        let mut best: Option<(f64, i64, &str)> = None;
        let texts = accepted.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        for item in texts {
            let (name, weight) = weighted(item);
            let Some(rank) = self.rank(name).filter(|_| weight > 0.0) else { continue };
            if best.is_none_or(|(most, least, _)| weight > most || (weight >= most && rank < least)) {
                best = Some((weight, rank, name));
            }
        }
        match best?.2 {
            "*" => self.unasked.or(self.encodings.first().copied()),
            name => Encoding::named(name),
        }
    }

    /// What is liked better comes first; anything at all before everything, and nothing at all after it.
    fn rank(&self, name: &str) -> Option<i64> {
        let place = |found: Encoding| self.encodings.iter().position(|known| *known == found);
        match name {
            "*" => Some(-1),
            "identity" => i64::try_from(self.encodings.len()).ok(),
            name => place(Encoding::named(name)?).and_then(|at| i64::try_from(at).ok()),
        }
    }

    /// Whether an answer is made smaller; its headers say so then.
    pub(crate) fn applies(
        &self,
        encoding: Encoding,
        status: StatusCode,
        headers: &mut HeaderMap,
        length: Option<u64>,
    ) -> bool {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        let bodiless = status.is_informational()
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
            || length.is_some_and(|length| length < self.least_bytes);
        let done = headers.get(CONTENT_ENCODING).is_some_and(|value| !value.is_empty());
        if bodiless || done || headers.contains_key(CONTENT_RANGE) || !self.minds(headers.get(CONTENT_TYPE)) {
            return false;
        }
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        true
    }

    fn minds(&self, kind: Option<&HeaderValue>) -> bool {
        let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { return true };
        let Some(kind) = kind.to_str().ok().and_then(Kind::parse) else { return false };
        if !self.included.is_empty() && !self.included.iter().any(|known| known.takes(&kind)) {
            return false;
        }
        !self.excluded.iter().any(|known| known.takes(&kind))
    }
}

/// `gzip;q=0.5`.
fn weighted(item: &str) -> (&str, f64) {
    let (name, rest) = item.split_once(';').unwrap_or((item, ""));
    let weight = match rest.trim().strip_prefix("q=") {
        Some(weight) => weight.trim().parse().unwrap_or(0.0),
        None => 1.0,
    };
    (name.trim(), weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(change: impl FnOnce(&mut model::Compress)) -> Result<Compress, LayerError> {
        let mut config = model::Compress::default();
        change(&mut config);
        Compress::new(&config)
    }

    #[test]
    fn clients_get_what_they_like() {
        let layer = layer(|_| {}).expect("a layer");
        for (accepted, expected) in [
            ("gzip, br, zstd", Some(Encoding::Gzip)),
            ("br;q=1, gzip;q=0.5", Some(Encoding::Brotli)),
            ("gzip;q=0, zstd", Some(Encoding::Zstd)),
            ("identity", None),
            ("identity;q=0.5, br;q=0.4", None),
            ("*", Some(Encoding::Gzip)),
            ("", None),
            ("deflate", None),
        ] {
            let mut exchange = Exchange::default();
            exchange.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(layer.wanted(&exchange), expected, "{accepted}");
        }
        assert_eq!(layer.wanted(&Exchange::default()), None);
    }

    #[test]
    fn answers_are_made_smaller_where_that_is_worth_it() {
        let layer = layer(|config| config.excluded_content_types = vec!["text/event-stream".to_owned()]);
        let layer = layer.expect("a layer");
        for (kind, status, length, expected) in [
            ("text/html; charset=utf-8", 200, Some(5_000), true),
            ("text/html", 200, Some(500), false),
            ("text/html", 200, None, true),
            ("text/event-stream; a=b", 200, None, false),
            ("application/grpc", 200, None, false),
            ("text/html", 304, None, false),
            ("???", 200, None, false),
            ("", 200, Some(5_000), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            let status = StatusCode::from_u16(status).expect("a status");
            let applies = layer.applies(Encoding::Gzip, status, &mut headers, length);
            assert_eq!(applies, expected, "{kind} {status} {length:?}");
            assert_eq!(headers.contains_key(CONTENT_ENCODING), expected);
            assert_eq!(headers[VARY], "Accept-Encoding");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let one = || vec!["text/html".to_owned()];
        assert!(
            layer(|config| (config.excluded_content_types, config.included_content_types) = (one(), one()))
                .is_err()
        );
        assert!(layer(|config| config.encodings = Vec::new()).is_err());
        assert!(layer(|config| config.encodings = vec!["deflate".to_owned()]).is_err());
        assert!(layer(|config| config.default_encoding = "x".to_owned()).is_err());
        assert!(layer(|config| config.included_content_types = vec!["a b/c".to_owned()]).is_err());
    }
}
