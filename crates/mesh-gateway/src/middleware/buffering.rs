//! Bodies that are read whole before they go on, up to a size; and requests that are sent again by a condition.

use super::{
    LayerError,
    predicate::{Call, Function, Kind, Predicate, Value},
};
use crate::{config::model, upstream::Spool};
use hyper::{Method, StatusCode};

const FUNCTIONS: &[Function] = &[
    ("RequestMethod", Kind::Text, 0),
    ("IsNetworkError", Kind::Truth, 0),
    ("Attempts", Kind::Number, 0),
    ("ResponseCode", Kind::Number, 0),
];
/// Times that a request is sent again, whatever its condition says.
const AGAIN_MAX: u32 = 10;
/// Bytes of a body in memory, where nothing is said.
const MEMORY_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Buffering {
    pub(crate) request: Spool,
    pub(crate) answer: Spool,
    retry: Option<Predicate>,
}

impl Buffering {
    pub(super) fn new(config: &model::Buffering) -> Result<Self, LayerError> {
        let spool = |most: i64, memory: i64| Spool {
            bytes_max: u64::try_from(most).ok().filter(|most| *most > 0),
            memory_bytes_max: usize::try_from(memory).ok().filter(|bytes| *bytes > 0).unwrap_or(MEMORY_BYTES),
        };
        let retry = match config.retry_expression.as_str() {
            "" => None,
            text => Some(Predicate::parse(text, FUNCTIONS)?),
        };
        Ok(Self {
            request: spool(config.max_request_body_bytes, config.mem_request_body_bytes),
            answer: spool(config.max_response_body_bytes, config.mem_response_body_bytes),
            retry,
        })
    }

    /// Whether a request is sent again that was sent so often, and answered so.
    pub(crate) fn again(&self, sent: u32, method: &Method, status: StatusCode) -> bool {
        let value = |call: &Call| match call.name {
            "RequestMethod" => Value::Text(method.to_string()),
            "Attempts" => Value::Number(f64::from(sent)),
            "ResponseCode" => Value::Number(f64::from(status.as_u16())),
            _ => Value::Truth([StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT].contains(&status)),
        };
        sent <= AGAIN_MAX && self.retry.as_ref().is_some_and(|retry| retry.holds(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_sent_again_by_a_condition() {
        let with = |text: &str| {
            Buffering::new(&model::Buffering { retry_expression: text.to_owned(), ..Default::default() })
        };
        let layer =
            with("IsNetworkError() && Attempts() <= 2 && RequestMethod() != \"POST\"").expect("a layer");
        for (sent, method, status, expected) in [
            (1, Method::GET, 502, true),
            (2, Method::GET, 504, true),
            (3, Method::GET, 502, false),
            (1, Method::GET, 500, false),
            (1, Method::POST, 502, false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(layer.again(sent, &method, status), expected, "{sent} {method} {status}");
        }
        let always = with("ResponseCode() >= 500").expect("a layer");
        assert!(!always.again(AGAIN_MAX + 1, &Method::GET, StatusCode::BAD_GATEWAY));
        assert!(with("Attempts()").is_err() && with("Foo() > 1").is_err());
        assert!(!with("").expect("a layer").again(1, &Method::GET, StatusCode::BAD_GATEWAY));
    }
}
