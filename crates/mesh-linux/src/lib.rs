//! System calls: the only crate with unsafe code.
//!
//! What `nix` and `rustix` offer safely is used from there directly by the crates above. Here stands
//! what they do not: forking, taking over inherited descriptors, starting a child with descriptors at
//! fixed numbers, capabilities, the seccomp filter, mount attributes, and control groups (which are
//! files only, but belong to the kernel's interface as well).
//!
//! Absent on purpose: policy. Nothing here knows what a container is.

pub mod capability;
pub mod cgroup;
pub mod command;
pub mod descriptor;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod tun;
