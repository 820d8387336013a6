//! `pre_start`, `post_start`, `pre_stop` and `develop` of a service.

use super::{COMMAND, PAIRS, Shape, TEXT_OR_TEXTS, field, required};

/// A command inside the container.
pub(super) const HOOK: Shape = Shape::Object(&[
    required("command", Shape::Nullable(&COMMAND)),
    field("user", Shape::Text),
    field("privileged", Shape::Bool),
    field("working_dir", Shape::Text),
    field("environment", PAIRS),
]);

/// A container of its own before the service's.
pub(super) const INIT_CONTAINER: Shape = Shape::Object(&[
    field("command", Shape::Nullable(&COMMAND)),
    field("image", Shape::Text),
    field("user", Shape::Text),
    field("privileged", Shape::Bool),
    field("working_dir", Shape::Text),
    field("environment", PAIRS),
    field("per_replica", Shape::Bool),
]);

/// `develop`.
pub(super) const DEVELOP: Shape = Shape::Nullable(&Shape::Object(&[field("watch", Shape::List(&WATCH))]));

const WATCH: Shape = Shape::Object(&[
    required("path", Shape::Parsed(is_not_blank, "a path")),
    required("action", Shape::Word(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
    field("target", Shape::Text),
    field("ignore", TEXT_OR_TEXTS),
    field("include", TEXT_OR_TEXTS),
    field("initial_sync", Shape::TrueOrFalse),
    field("exec", HOOK),
]);

fn is_not_blank(text: &str) -> bool {
    !text.is_empty()
}
