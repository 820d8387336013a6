//! `build` of a service.

use super::{
    EXTRA_HOSTS, PAIRS, Shape, TEXT_OR_TEXTS, TEXTS, field,
    mounts::{FILE_MOUNTS, ULIMITS},
};

/// A context alone, or everything about a build.
pub(super) const BUILD: Shape = Shape::Either(&[
    Shape::Text,
    Shape::Object(&[
        field("context", Shape::Text),
        field("dockerfile", Shape::Text),
        field("dockerfile_inline", Shape::Text),
        field("args", PAIRS),
        field("labels", PAIRS),
        field("target", Shape::Text),
        field("tags", TEXTS),
        field("platforms", TEXTS),
        field("network", Shape::Text),
        field("shm_size", Shape::Bytes),
        field("pull", Shape::Bool),
        field("no_cache", Shape::Bool),
        field("no_cache_filter", TEXT_OR_TEXTS),
        field("additional_contexts", PAIRS),
        field("ssh", PAIRS),
        field("cache_from", TEXTS),
        field("cache_to", TEXTS),
        field("entitlements", TEXTS),
        field("extra_hosts", EXTRA_HOSTS),
        field("isolation", Shape::Text),
        field("privileged", Shape::Bool),
        field("provenance", Shape::TextOrBool),
        field("sbom", Shape::TextOrBool),
        field("secrets", FILE_MOUNTS),
        field("ulimits", ULIMITS),
    ]),
]);
