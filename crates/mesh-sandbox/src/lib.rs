//! One container: its shim process and the sandbox the shim makes.
//!
//! The supervisor's ground runs its own binary again as `mesh shim run|exec|attach|copy|hold`, hands it a
//! specification on descriptor 3, and hears back on descriptor 4. A shim has one thread, outlives the
//! supervisor, and is the parent of exactly one container.
//!
//! Invariants: the shim itself stays in the machine's mount namespace and outside of the container's
//! control groups, so that it can always record the end; the container dies with its shim; no part of
//! a specification is ever on a command line or in the environment of a shim.
//!
//! Absent on purpose: networks (the ground makes them and hands over a namespace), limits (the ground
//! writes them into the groups before), restarts, and every decision of when.

mod attach;
pub mod beside;
mod birth;
mod channel;
mod console;
mod copy;
mod detach;
mod exec;
mod execute;
mod failure;
mod files_lock;
mod hold;
mod init;
mod mounting;
mod relay;
mod rootfs;
mod run;
mod settings;
mod signals;
pub mod spawn;
pub mod specification;
mod stranger;
mod terminal;
mod user;

/// Code of a shim that was called in a way it does not know.
const USAGE_CODE: i32 = 2;

/// Runs one shim to its end and returns its exit code. `arguments` are those after `shim`: the kind
/// (`run`, `exec`, `attach`, `copy`, `hold`) and whatever else, most of which is for readers of process lists only.
///
/// To be called before this process has any second thread.
#[must_use]
pub fn main(arguments: &[String]) -> i32 {
    // The file it is executed from has the number of a descriptor for its name.
    let _ = nix::sys::prctl::set_name(c"mesh");
    let words: Vec<&str> = arguments.iter().map(String::as_str).skip_while(|word| *word == "shim").collect();
    match words.as_slice() {
        ["run", ..] => run::main(),
        ["exec", arguments @ ..] => exec::main(arguments),
        ["attach", arguments @ ..] => attach::main(arguments),
        ["copy", ..] => copy::main(),
        ["hold", kind, ..] => hold::main(*kind == hold::ROOTLESS),
        _ => {
            channel::say("shim is called by mesh itself: shim run|exec|attach|copy|hold");
            USAGE_CODE
        }
    }
}
