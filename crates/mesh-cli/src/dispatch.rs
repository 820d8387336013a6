//! From the process's arguments to a verb, and from its end to an exit code.

use crate::{
    Hooks,
    arguments::{CommandLine, Verb},
    console,
    context::Context,
    environment::Environment,
    failure::CliError,
    loading,
    settings::{Settings, Terminals},
    supervisor,
    verbs::{self, image::Action},
};
use mesh_store::home::Home;
use std::{
    ffi::OsString,
    io::{self, IsTerminal},
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
    let environment = loading::with_settings_of_files(&line.global, environment, &directory);
    let settings = Settings::resolve(line.global, &environment, terminals, directory)?;
    supervisor::be_verbose(settings.verbose);
    let uid = rustix::process::geteuid().as_raw();
    let home = Home::of_environment(
        &|name: &str| -> Option<OsString> { environment.get(name).map(OsString::from) },
        uid,
    )?;
    let context = Context { settings, environment, home, hooks };
    // The store of images is worked on by this process, which may have to enter a namespace first.
    let verb = match verb {
        Verb::Image(arguments) => return verbs::image::run(&context, arguments),
        Verb::Load(arguments) => return verbs::image::perform(&context, Action::Load(arguments)),
        Verb::Save(arguments) => return verbs::image::perform(&context, Action::Save(arguments)),
        Verb::Tag(arguments) => return verbs::image::perform(&context, Action::Tag(arguments)),
        Verb::Rmi(arguments) => return verbs::image::perform(&context, Action::Rm(arguments)),
        Verb::Prune(arguments) => return verbs::image::perform(&context, Action::Prune(arguments)),
        verb => verb,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("start the runtime"))?;
    runtime.block_on(perform(&context, verb))
}

async fn perform(context: &Context, verb: Verb) -> Result<u8, CliError> {
    if context.settings.dry_run && !verbs::rehearsal::is_known(context, &verb)? {
        return Ok(0);
    }
    match verb {
        Verb::Up(arguments) => verbs::up::run(context, arguments).await,
        Verb::Down(arguments) => verbs::down::run(context, arguments).await,
        Verb::Ps(arguments) => verbs::ps::run(context, arguments).await,
        Verb::Logs(arguments) => verbs::logs::run(context, arguments).await,
        Verb::Exec(arguments) => verbs::exec::run(context, arguments).await,
        Verb::Attach(arguments) => verbs::attach::run(context, arguments).await,
        Verb::Run(arguments) => verbs::run::run(context, arguments).await,
        Verb::Start(arguments) => verbs::start::run(context, arguments).await,
        Verb::Stop(arguments) => verbs::stop::run(context, arguments).await,
        Verb::Restart(arguments) => verbs::restart::run(context, arguments).await,
        Verb::Kill(arguments) => verbs::kill::run(context, arguments).await,
        Verb::Rm(arguments) => verbs::rm::run(context, arguments).await,
        Verb::Pause(arguments) => verbs::pause::freeze(context, arguments).await,
        Verb::Unpause(arguments) => verbs::pause::thaw(context, arguments).await,
        Verb::Scale(arguments) => verbs::scale::run(context, arguments).await,
        Verb::Top(arguments) => verbs::top::run(context, arguments).await,
        Verb::Stats(arguments) => verbs::stats::run(context, arguments).await,
        Verb::Port(arguments) => verbs::port::run(context, arguments).await,
        Verb::Config(arguments) => verbs::config::run(context, arguments).await,
        Verb::Ls(arguments) => verbs::ls::run(context, arguments).await,
        Verb::Images(arguments) => verbs::images::run(context, arguments).await,
        Verb::Volumes(arguments) => verbs::volumes::run(context, arguments).await,
        Verb::Vault(arguments) => verbs::vault::run(context, arguments).await,
        Verb::Secrets(arguments) => verbs::secrets::run(context, arguments),
        Verb::Pull(arguments) => verbs::pull::run(context, arguments).await,
        Verb::Create(arguments) => verbs::create::run(context, arguments).await,
        Verb::Wait(arguments) => verbs::wait::run(context, arguments).await,
        Verb::Events(arguments) => verbs::events::run(context, arguments).await,
        Verb::Cp(arguments) => verbs::cp::run(context, arguments).await,
        Verb::Watch(arguments) => verbs::watch::run(context, arguments).await,
        Verb::Graph(arguments) => verbs::graph::run(context, &arguments),
        // The others were taken before.
        _ => Err(CliError::unavailable("this verb")),
    }
}
