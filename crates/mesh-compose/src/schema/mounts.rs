//! What a service mounts, its devices, and its limits by name.

use super::{COUNT, PAIRS, Shape, WHOLE, field, ignored, required};
use crate::value;

/// `secrets` and `configs`.
pub(super) const FILE_MOUNTS: Shape = Shape::List(&Shape::Either(&[
    Shape::Text,
    Shape::Object(&[
        field("source", Shape::Text),
        field("target", Shape::Text),
        field("uid", Shape::Text),
        field("gid", Shape::Text),
        field("mode", Shape::Mode),
    ]),
]));

/// `volumes`.
pub(super) const VOLUMES: Shape = Shape::List(&Shape::Either(&[Shape::Text, VOLUME_MOUNT]));

/// `devices`.
pub(super) const DEVICES: Shape = Shape::List(&Shape::Either(&[
    Shape::Text,
    Shape::Object(&[
        required("source", Shape::Text),
        field("target", Shape::Text),
        field("permissions", Shape::Text),
    ]),
]));

/// `ulimits`.
pub(super) const ULIMITS: Shape =
    Shape::Map(&Shape::Either(&[WHOLE, Shape::Object(&[required("soft", WHOLE), required("hard", WHOLE)])]));

/// `blkio_config`.
pub(super) const BLOCK_DEVICES: Shape = Shape::Object(&[
    field("device_read_bps", RATES),
    field("device_read_iops", RATES),
    field("device_write_bps", RATES),
    field("device_write_iops", RATES),
    field("weight", Shape::Int(0, u16::MAX as i64)),
    field(
        "weight_device",
        Shape::List(&Shape::Object(&[
            field("path", Shape::Text),
            field("weight", Shape::Int(0, u16::MAX as i64)),
        ])),
    ),
]);

const RATES: Shape = Shape::List(&Shape::Object(&[field("path", Shape::Text), field("rate", Shape::Bytes)]));

const VOLUME_MOUNT: Shape = Shape::Object(&[
    required("type", Shape::Word(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
    field("source", Shape::Text),
    field("target", Shape::Text),
    field("read_only", Shape::Bool),
    ignored("consistency", Shape::Text, "files are shared directly"),
    field(
        "bind",
        Shape::Object(&[
            field("create_host_path", Shape::Bool),
            ignored("propagation", Shape::Text, "mounts do not propagate"),
            ignored(
                "recursive",
                Shape::Word(&["enabled", "disabled", "writable", "readonly"]),
                "binds are recursive",
            ),
            ignored("selinux", Shape::Word(&["z", "Z"]), "SELinux labels are left alone"),
        ]),
    ),
    field(
        "volume",
        Shape::Object(&[
            field("nocopy", Shape::Bool),
            field("subpath", Shape::Text),
            ignored("labels", PAIRS, "label the volume at the top of the file"),
        ]),
    ),
    field(
        "tmpfs",
        Shape::Object(&[
            field("size", Shape::Either(&[Shape::Parsed(value::is_size, "a size in bytes"), COUNT])),
            field("mode", Shape::Mode),
            field("uid", Shape::Int(0, u32::MAX as i64)),
            field("gid", Shape::Int(0, u32::MAX as i64)),
        ]),
    ),
    field("image", Shape::Object(&[field("subpath", Shape::Text)])),
]);
