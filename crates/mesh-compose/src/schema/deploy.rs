//! `deploy` and `gpus` of a service.

use super::{COUNT, NAMES, PAIRS, Shape, TEXTS, WHOLE, field, ignored, not_started, required};
use crate::value;

const SWARM: &str = "it belongs to swarm";
/// Why a service that asks for devices of the machine is not started.
pub(super) const DEVICE_ACCESS: &str =
    "no devices are handed to services by what they can do; name them under `devices`";
const BACK_OFF: &str = "restarts back off by themselves";

/// `deploy`.
pub(super) const DEPLOY: Shape = Shape::Nullable(&Shape::Object(&[
    ignored("endpoint_mode", Shape::Text, SWARM),
    field("labels", PAIRS),
    field("mode", Shape::Text),
    ignored("placement", PLACEMENT, SWARM),
    field("replicas", COUNT),
    field("resources", Shape::Object(&[field("limits", LIMITS), field("reservations", RESERVATIONS)])),
    field(
        "restart_policy",
        Shape::Object(&[
            field("condition", Shape::Startable(is_condition, "none, on-failure or any")),
            ignored("delay", Shape::Duration, BACK_OFF),
            field("max_attempts", COUNT),
            ignored("window", Shape::Duration, BACK_OFF),
        ]),
    ),
    ignored("rollback_config", ROLLING, SWARM),
    ignored("update_config", ROLLING, SWARM),
]));

/// `gpus`.
pub(super) const GPUS: Shape =
    Shape::Either(&[Shape::Word(&["all"]), Shape::List(&Shape::Object(DEVICE_REQUEST_LOOSE))]);

const LIMITS: Shape =
    Shape::Object(&[field("cpus", Shape::Number), field("memory", MEMORY), field("pids", WHOLE)]);

const MEMORY: Shape = Shape::Parsed(value::is_size, "a size with its unit, such as `512m`");

const RESERVATIONS: Shape = Shape::Object(&[
    ignored("cpus", Shape::Number, "no CPU is set aside"),
    field("memory", MEMORY),
    ignored("generic_resources", Shape::List(&GENERIC_RESOURCE), SWARM),
    not_started("devices", Shape::List(&DEVICE_REQUEST), DEVICE_ACCESS),
]);

const GENERIC_RESOURCE: Shape = Shape::Object(&[field(
    "discrete_resource_spec",
    Shape::Object(&[field("kind", Shape::Text), field("value", WHOLE)]),
)]);

const DEVICE_REQUEST: Shape = Shape::Object(&[
    required("capabilities", NAMES),
    field("count", DEVICE_COUNT),
    field("device_ids", NAMES),
    field("driver", Shape::Text),
    field("options", PAIRS),
]);

const DEVICE_COUNT: Shape = Shape::Either(&[Shape::Parsed(is_count, "a number or `all`"), WHOLE]);

/// Of `gpus`, where the capability goes without saying.
const DEVICE_REQUEST_LOOSE: &[super::Field] = &[
    field("capabilities", NAMES),
    field("count", DEVICE_COUNT),
    field("device_ids", NAMES),
    field("driver", Shape::Text),
    field("options", PAIRS),
];

const PLACEMENT: Shape = Shape::Object(&[
    field("constraints", TEXTS),
    field("preferences", Shape::List(&Shape::Object(&[field("spread", Shape::Text)]))),
    field("max_replicas_per_node", WHOLE),
]);

const ROLLING: Shape = Shape::Object(&[
    field("parallelism", WHOLE),
    field("delay", Shape::Duration),
    field("failure_action", Shape::Text),
    field("monitor", Shape::Duration),
    field("max_failure_ratio", Shape::Number),
    field("order", Shape::Word(&["start-first", "stop-first"])),
]);

fn is_count(text: &str) -> bool {
    text == "all" || text.parse::<i64>().is_ok()
}

fn is_condition(text: &str) -> bool {
    matches!(text, "none" | "on-failure" | "any")
}
