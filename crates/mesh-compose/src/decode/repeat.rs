//! `x-mesh.repeat`: a service that is run again, so long after it ended.

use crate::{context::Context, node::Node, value};
use std::time::Duration;

/// Shortest time between two runs.
const REPEAT_MIN: Duration = Duration::from_secs(1);

/// The time after which a service is run again; what the check of the schema reported is left out here.
pub(super) fn repeat(service: &Node, cx: &mut Context) -> Option<Duration> {
    let node = service.at_path(&["x-mesh", "repeat"])?;
    let interval = value::duration(&node.scalar()?)?;
    if interval < REPEAT_MIN {
        let message = format!("`repeat` of service `{}` is shorter than a second", cx.service);
        cx.error(node.at, "bad-value", message);
        return None;
    }
    let restart = service.get("restart").and_then(Node::as_text).unwrap_or("no");
    if !(restart == "no" || restart.starts_with("on-failure")) {
        let message = format!(
            "service `{}` is started again at once by `restart: {restart}`, so that `repeat` has no turn",
            cx.service
        );
        cx.error_with_hint(node.at, "bad-value", message, "leave out one of the two");
        return None;
    }
    Some(interval)
}
