//! What a file asks of Mesh itself: `x-mesh`, at its top, in a service and in a secret.

use super::{COUNT, Shape, TEXTS, field, required};
use crate::{
    decode::{certificate, dump},
    generate,
};

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
pub(super) const OF_SERVICE: Shape = Shape::Object(&[
    field("backup", BACKUP),
    field("certificate", Shape::Either(&[CERTIFICATE, Shape::List(&CERTIFICATE)])),
    field("command", Shape::Text),
    field("probe", PROBE),
    field("repeat", Shape::Duration),
    field("substitute", SUBSTITUTE),
    field("trust", Shape::Bool),
    field("when-no-source", Shape::Word(&["fail", "skip"])),
]);

const BACKUP: Shape = Shape::Object(&[
    required("command", PROGRAM),
    field("file", Shape::Parsed(dump::is_file_name, FILE_NAME)),
    required("restore", PROGRAM),
    field("user", Shape::TextOrNumber),
]);

const PROGRAM: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::TextOrNumber)]);

const FILE_NAME: &str = "the name of one file: letters, digits, `.`, `_` and `-`, and not `manifest.json`";

const CERTIFICATE: Shape = Shape::Object(&[
    required(
        "file",
        Shape::Parsed(certificate::is_file, "a path from the container's root, such as /run/tls/server.crt"),
    ),
    field("before", Shape::Duration),
    field("reload", RELOAD),
    field("renew", TEXTS),
    field("user", Shape::Text),
]);

const RELOAD: Shape = Shape::Object(&[
    field("command", TEXTS),
    field("signal", Shape::Parsed(certificate::is_signal, "a signal, such as SIGHUP")),
]);

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
