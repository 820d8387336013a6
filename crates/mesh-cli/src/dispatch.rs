//! From the process's arguments to a verb, and from its end to an exit code.

use crate::{
    Hooks,
    arguments::{CommandLine, Verb},
    console,
    context::Context,
    environment::Environment,
    environments,
    failure::CliError,
    loading,
    reading::Circumstances,
    settings::{Settings, Terminals},
    supervisor,
    verbs::{self, exec::AtOnce, image::Action},
};
use mesh_store::home::Home;
use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    pin::Pin,
    process::ExitCode,
};

/// The entry.
pub(crate) fn main(hooks: Hooks) -> ExitCode {
    // clap prints help and usage errors itself; wrong usage is exit code 2.
    let line = CommandLine::read();
    let colour = io::stderr().is_terminal();
    match execute(line, hooks) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let text = error.render(colour && Environment::read().get("NO_COLOR").is_none());
            if !text.is_empty() {
                console::err_line(&text);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(line: CommandLine, hooks: Hooks) -> Result<u8, CliError> {
    let environment = Environment::read();
    let circumstances = line.is_plain.then(|| Circumstances::now(&environment)).flatten();
    if let (Verb::Exec(arguments), Some(circumstances)) = (&line.verb, &circumstances) {
        let run = hooks.run_through_door;
        if let Some(code) = verbs::exec::run_as_known(run, arguments, &environment, circumstances)? {
            return Ok(code);
        }
    }
    // Verbs that need neither a project nor directories.
    let verb = match line.verb {
        Verb::Version(arguments) => return verbs::version::run(&arguments, hooks),
        Verb::Completion(arguments) => return verbs::completion::run(&arguments),
        Verb::Man(arguments) => return verbs::completion::write_pages(&arguments),
        Verb::Doctor(arguments) => return verbs::doctor::run(&arguments, hooks),
        Verb::Build(_) => return Err(CliError::unavailable("`mesh build`")),
        Verb::Push(_) => return Err(CliError::unavailable("`mesh push`")),
        Verb::Bridge(_) => return Err(CliError::unavailable("`mesh bridge`")),
        Verb::Publish(_) => return Err(CliError::unavailable("`mesh publish`")),
        Verb::Commit(_) => return Err(CliError::unavailable("`mesh commit`")),
        Verb::Export(_) => return Err(CliError::unavailable("`mesh export`")),
        verb => verb,
    };
    let terminals = Terminals { stdout: io::stdout().is_terminal(), stderr: io::stderr().is_terminal() };
    let directory = std::env::current_dir().map_err(CliError::io("find the current directory"))?;
    let mut global = line.global;
    environments::choose(&mut global, &verb, line.own.is_some(), &environment, &directory)?;
    let environment = loading::with_settings_of_files(&global, environment, &directory);
    let settings = Settings::resolve(global, &environment, terminals, directory)?;
    supervisor::be_verbose(settings.verbose);
    supervisor::ask_registries_by(environment.registry());
    let uid = rustix::process::geteuid().as_raw();
    let home = Home::of_environment(
        &|name: &str| -> Option<OsString> { environment.get(name).map(OsString::from) },
        uid,
    )?;
    let context = Context { settings, environment, home, hooks };
    if let Some(own) = &line.own {
        verbs::own::check(&context, own);
    }
    // The store of images is worked on by this process, which may have to enter a namespace first.
    let mut unanswered = None;
    let verb = match verb {
        Verb::Image(arguments) => return verbs::image::run(&context, arguments),
        Verb::Load(arguments) => return verbs::image::perform(&context, Action::Load(arguments)),
        Verb::Save(arguments) => return verbs::image::perform(&context, Action::Save(arguments)),
        Verb::Tag(arguments) => return verbs::image::perform(&context, Action::Tag(arguments)),
        Verb::Rmi(arguments) => return verbs::image::perform(&context, Action::Rm(arguments)),
        Verb::Prune(arguments) => return verbs::image::perform(&context, Action::Prune(arguments)),
        Verb::Exec(arguments) if !context.settings.dry_run => {
            match verbs::exec::run_at_once(&context, &arguments, circumstances.as_ref())? {
                AtOnce::Ran(code) => return Ok(code),
                AtOnce::Unasked => {}
                AtOnce::Unanswered(asked) => unanswered = Some(asked),
            }
            Verb::Exec(arguments)
        }
        verb => verb,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("start the runtime"))?;
    match (verb, unanswered) {
        (Verb::Exec(arguments), Some(asked)) => {
            runtime.block_on(boxed(|| verbs::exec::run_unanswered(&context, arguments, asked)))
        }
        (verb, _) => runtime.block_on(perform(&context, verb)),
    }
}

async fn perform(context: &Context, verb: Verb) -> Result<u8, CliError> {
    if context.settings.dry_run && !verbs::rehearsal::is_known(context, &verb)? {
        return Ok(0);
    }
    let verb: Pin<Box<dyn Future<Output = Result<u8, CliError>> + '_>> = match verb {
        Verb::Up(arguments) => boxed(|| verbs::up::run(context, arguments)),
        Verb::Down(arguments) => boxed(|| verbs::down::run(context, arguments)),
        Verb::Ps(arguments) => boxed(|| verbs::ps::run(context, arguments)),
        Verb::Logs(arguments) => boxed(|| verbs::logs::run(context, arguments)),
        Verb::Exec(arguments) => boxed(|| verbs::exec::run(context, arguments)),
        Verb::Attach(arguments) => boxed(|| verbs::attach::run(context, arguments)),
        Verb::Run(arguments) => boxed(|| verbs::run::run(context, arguments)),
        Verb::Start(arguments) => boxed(|| verbs::start::run(context, arguments)),
        Verb::Stop(arguments) => boxed(|| verbs::stop::run(context, arguments)),
        Verb::Restart(arguments) => boxed(|| verbs::restart::run(context, arguments)),
        Verb::Kill(arguments) => boxed(|| verbs::kill::run(context, arguments)),
        Verb::Rm(arguments) => boxed(|| verbs::rm::run(context, arguments)),
        Verb::Pause(arguments) => boxed(|| verbs::pause::freeze(context, arguments)),
        Verb::Unpause(arguments) => boxed(|| verbs::pause::thaw(context, arguments)),
        Verb::Scale(arguments) => boxed(|| verbs::scale::run(context, arguments)),
        Verb::Top(arguments) => boxed(|| verbs::top::run(context, arguments)),
        Verb::Stats(arguments) => boxed(|| verbs::stats::run(context, arguments)),
        Verb::Port(arguments) => boxed(|| verbs::port::run(context, arguments)),
        Verb::Config(arguments) => boxed(|| verbs::config::run(context, arguments)),
        Verb::Ls(arguments) => boxed(|| verbs::ls::run(context, arguments)),
        Verb::Images(arguments) => boxed(|| verbs::images::run(context, arguments)),
        Verb::Volumes(arguments) => boxed(|| verbs::volumes::run(context, arguments)),
        Verb::Vault(arguments) => boxed(|| verbs::vault::run(context, arguments)),
        Verb::Certs(arguments) => boxed(|| verbs::certs::run(context, arguments)),
        Verb::Secrets(arguments) => boxed(|| verbs::secrets::run(context, arguments)),
        Verb::Pull(arguments) => boxed(|| verbs::pull::run(context, arguments)),
        Verb::Create(arguments) => boxed(|| verbs::create::run(context, arguments)),
        Verb::Wait(arguments) => boxed(|| verbs::wait::run(context, arguments)),
        Verb::Events(arguments) => boxed(|| verbs::events::run(context, arguments)),
        Verb::Cp(arguments) => boxed(|| verbs::cp::run(context, arguments)),
        Verb::Watch(arguments) => boxed(|| verbs::watch::run(context, arguments)),
        Verb::Graph(arguments) => return verbs::graph::run(context, &arguments),
        Verb::Status(arguments) => boxed(|| verbs::stack::status::run(context, arguments)),
        Verb::Health(arguments) => boxed(|| verbs::stack::health::run(context, arguments)),
        Verb::Shell(arguments) => boxed(|| verbs::stack::shell::run(context, arguments)),
        Verb::Profiles(arguments) => boxed(|| verbs::stack::profiles::run(context, arguments)),
        Verb::Ip(arguments) => boxed(|| verbs::stack::ip::run(context, arguments)),
        Verb::Trust(arguments) => boxed(|| verbs::trust::run(context, arguments)),
        Verb::Hosts(arguments) => boxed(|| verbs::hosts::run(context, arguments)),
        Verb::Reset(arguments) => boxed(|| verbs::stack::reset::run(context, arguments)),
        Verb::Backup(arguments) => boxed(|| verbs::stack::backup::run(context, arguments)),
        Verb::Restore(arguments) => boxed(|| verbs::stack::backup::restore(context, arguments)),
        Verb::Verify(arguments) => return verbs::stack::backup::verify(context, &arguments),
        // The others were taken before.
        _ => return Err(CliError::unavailable("this verb")),
    };
    verb.await
}

/// A verb's work in memory of its own, made in a frame of its own: in one place all of them would take as much of
/// the stack as the largest, which is then touched and copied page by page for the smallest.
#[inline(never)]
fn boxed<'a, F>(work: impl FnOnce() -> F) -> Pin<Box<dyn Future<Output = Result<u8, CliError>> + 'a>>
where
    F: Future<Output = Result<u8, CliError>> + 'a,
{
    Box::pin(work())
}
