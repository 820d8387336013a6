//! Keys at the top of a file, and of networks, volumes, secrets, configs and models.

use super::{
    Field, PAIRS, Shape, Support, TEXTS, TEXTS_OR_NUMBERS, field, ignored, mesh, required, service::SERVICE,
};
use crate::value;

/// A whole file, after `include` was carried out.
pub(crate) const PROJECT: Shape = Shape::Object(&[
    Field {
        name: "version",
        shape: Shape::Any,
        support: Support::NoEffect("the version of the file format is obsolete; the line can go"),
        required: false,
    },
    field("name", Shape::Text),
    field("services", Shape::Named(&SERVICE)),
    field("networks", Shape::Named(&NETWORK)),
    field("volumes", Shape::Named(&VOLUME)),
    field("secrets", Shape::Named(&SECRET)),
    field("configs", Shape::Named(&CONFIG)),
    field("models", Shape::Named(&MODEL)),
    field("x-mesh", mesh::OF_PROJECT),
]);

const EXTERNAL: Shape = Shape::Either(&[Shape::Bool, Shape::Object(&[field("name", Shape::Text)])]);

const NETWORK: Shape = Shape::Nullable(&Shape::Object(&[
    field("name", Shape::Text),
    field("driver", Shape::Text),
    field("driver_opts", TEXTS_OR_NUMBERS),
    field("ipam", IPAM),
    field("external", EXTERNAL),
    field("internal", Shape::Bool),
    field("enable_ipv4", Shape::Bool),
    ignored("enable_ipv6", Shape::Bool, "networks carry IPv4"),
    ignored("attachable", Shape::Bool, "it belongs to swarm networks"),
    field("labels", PAIRS),
]));

const SUBNET: Shape = Shape::Parsed(value::is_subnet, "a subnet such as 172.20.0.0/16");

const IPAM: Shape = Shape::Object(&[
    ignored("driver", Shape::Text, "addresses are always handed out by Mesh"),
    field(
        "config",
        Shape::List(&Shape::Object(&[
            field("subnet", SUBNET),
            field("ip_range", SUBNET),
            field("gateway", Shape::Parsed(value::is_address, "an IP address")),
            ignored("aux_addresses", Shape::Map(&Shape::Text), "no addresses are set aside"),
        ])),
    ),
    ignored("options", Shape::Map(&Shape::Text), "addresses are always handed out by Mesh"),
]);

const VOLUME: Shape = Shape::Nullable(&Shape::Object(&[
    field("name", Shape::Text),
    field("driver", Shape::Text),
    field("driver_opts", TEXTS_OR_NUMBERS),
    field("external", EXTERNAL),
    field("labels", PAIRS),
]));

const SECRET: Shape = Shape::Object(&[
    field("name", Shape::Text),
    field("environment", Shape::Text),
    field("file", Shape::Text),
    field("external", EXTERNAL),
    field("labels", PAIRS),
    ignored("driver", Shape::Text, "secrets come from files and variables"),
    ignored("driver_opts", TEXTS_OR_NUMBERS, "secrets come from files and variables"),
    ignored("template_driver", Shape::Text, "the content is not a template"),
    field("x-mesh", mesh::OF_SECRET),
]);

const CONFIG: Shape = Shape::Object(&[
    field("name", Shape::Text),
    field("content", Shape::Text),
    field("environment", Shape::Text),
    field("file", Shape::Text),
    field("external", EXTERNAL),
    field("labels", PAIRS),
    ignored("template_driver", Shape::Text, "the content is not a template"),
]);

const MODEL: Shape = Shape::Object(&[
    field("name", Shape::Text),
    required("model", Shape::Text),
    field("context_size", Shape::Int(i64::MIN, i64::MAX)),
    field("runtime_flags", TEXTS),
]);
