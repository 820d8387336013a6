//! What a file asks of Mesh itself: `x-mesh`, at its top, in a service and in a secret.

use super::{COUNT, Shape, field, required};
use crate::generate;

/// At the top.
pub(super) const OF_PROJECT: Shape = Shape::Object(&[
    field("generate", Shape::Map(&GENERATE)),
    field("substitute", SUBSTITUTE),
    field("ports", Shape::Word(&["file", "auto"])),
]);

/// In a secret.
pub(super) const OF_SECRET: Shape = Shape::Object(&[field("generate", GENERATE)]);

const GENERATE: Shape = Shape::Nullable(&Shape::Object(&[
    field("charset", Shape::Parsed(generate::is_charset, CHARSET)),
    field("length", Shape::Int(generate::LENGTH_MIN, generate::LENGTH_MAX)),
]));

const CHARSET: &str = "alphanumeric, letters, digits, hex, url, or the characters themselves, each once";

/// In a service.
pub(super) const OF_SERVICE: Shape = Shape::Object(&[field("substitute", SUBSTITUTE), field("probe", PROBE)]);

const SUBSTITUTE: Shape = Shape::Word(&["never", "missing", "always"]);

const PROBE: Shape = Shape::Object(&[
    field("grpc", GRPC),
    field("http", Shape::Nullable(&HTTP)),
    field("postgres", Shape::Nullable(&POSTGRES)),
    field("redis", Shape::Nullable(&REDIS)),
    field("tcp", TCP),
    field("interval", Shape::Duration),
    field("retries", COUNT),
    field("start_interval", Shape::Duration),
    field("start_period", Shape::Duration),
    field("timeout", Shape::Duration),
]);

const PORT: Shape = Shape::Int(1, 65535);

const TCP: Shape = Shape::Either(&[PORT, Shape::Object(&[required("port", PORT)])]);

const GRPC: Shape =
    Shape::Either(&[PORT, Shape::Object(&[required("port", PORT), field("service", Shape::Text)])]);

const HTTP: Shape = Shape::Either(&[
    PORT,
    Shape::Object(&[
        field("contains", Shape::Text),
        field("headers", Shape::Map(&Shape::TextOrNumber)),
        field("method", Shape::Text),
        field("path", Shape::Text),
        field("port", PORT),
        field("scheme", Shape::Word(&["http", "https"])),
        field("status", Shape::TextOrNumber),
    ]),
]);

const POSTGRES: Shape = Shape::Either(&[
    PORT,
    Shape::Object(&[
        field("database", Shape::Text),
        field("password", PASSWORD),
        field("port", PORT),
        field("user", Shape::Text),
    ]),
]);

/// A password that stands here itself is told as such, without being repeated.
const PASSWORD: Shape = Shape::Any;

const REDIS: Shape = Shape::Either(&[
    PORT,
    Shape::Object(&[field("password", PASSWORD), field("port", PORT), field("user", Shape::Text)]),
]);
