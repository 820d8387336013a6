//! The command line as it is typed. Every verb's own arguments stand beside the verb.

use crate::{console, environment, verbs};
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue},
};
use mesh_model::project::{Ports, Substitute};
use std::{ffi::OsString, path::PathBuf};

/// Bring up the platform that a Compose file describes, without Docker.
#[derive(Debug, Parser)]
#[command(name = "mesh", version, max_term_width = 100, after_help = environment::help())]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Where the verb was none: it may be a command of the project's own.
    #[arg(skip)]
    pub(crate) own: Option<OwnCommand>,
    /// A verb with its own arguments alone.
    #[arg(skip)]
    pub(crate) is_plain: bool,
}

/// A word in a verb's place that is none of Mesh's.
#[derive(Debug)]
pub(crate) struct OwnCommand {
    /// The word.
    pub(crate) name: String,
    /// What is told where the project has no such command.
    error: clap::Error,
}

impl OwnCommand {
    /// Tells that there is no such command, and ends the process.
    pub(crate) fn refuse(&self) -> ! {
        tell(&self.error)
    }
}

impl CommandLine {
    /// Reads the process's arguments; help and wrong usage are told here, and end the process.
    pub(crate) fn read() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        Self::read_exec(&words).unwrap_or_else(|| {
            Self::try_parse_from(&words).unwrap_or_else(|error| Self::read_own(&words, error))
        })
    }

    /// `mesh NAME ...` as `mesh run --rm NAME ...`, as far as it can be one; whether the project has such a command is
    /// seen once its file is read.
    fn read_own(words: &[OsString], error: clap::Error) -> Self {
        let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
            tell(&error)
        };
        let name = name.clone();
        let run = ["run", "--rm"].map(OsString::from);
        // The same word may be an option's value before it, or an argument behind it.
        let places = (1..words.len()).rev().filter(|at| words[*at] == *name);
        let line = |at: usize| Self::try_parse_from(words[..at].iter().chain(&run).chain(&words[at..])).ok();
        match places.filter_map(line).next() {
            Some(line) => Self { own: Some(OwnCommand { name, error }), ..line },
            None => tell(&error),
        }
    }

    /// A plain line that begins with `exec`; others are read by the whole definition.
    fn read_exec(words: &[OsString]) -> Option<Self> {
        let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
        let [_, "exec", rest @ ..] = words.as_slice() else { return None };
        let verb = Verb::Exec(verbs::exec::line::read(rest)?);
        Some(Self { global: Global::default(), verb, own: None, is_plain: true })
    }
}

/// Prints help, or what is wrong, and ends the process: with 1 for what is wrong, as Docker Compose does.
fn tell(error: &clap::Error) -> ! {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        console::out(&error.render().to_string());
        std::process::exit(0);
    }
    let _ = error.print();
    std::process::exit(i32::from(error.use_stderr()));
}

/// Options of every verb.
#[derive(Debug, Default, Args)]
pub(crate) struct Global {
    /// Compose file; may be given several times, `-` is standard input
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Name of the project
    #[arg(short, long, value_name = "NAME")]
    pub(crate) project_name: Option<String>,
    /// File with variables; may be given several times
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// Environment whose template (env/NAME.env.example) becomes `.env`, where there is none yet
    #[arg(long, value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// Profile to activate; may be given several times
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
    /// Directory that relative paths start from (default: that of the first file)
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) project_directory: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, global = true, help_heading = "Global options", value_name = "WAY")]
    pub(crate) progress: Option<ProgressWay>,
    /// Whether control characters are printed
    #[arg(long, value_enum, global = true, help_heading = "Global options", value_name = "WHEN")]
    pub(crate) ansi: Option<Ansi>,
    /// Whether a stand-in may serve for an image
    #[arg(long, value_enum, global = true, help_heading = "Global options", value_name = "WHEN")]
    pub(crate) substitute: Option<SubstituteWhen>,
    /// Where ports are published
    #[arg(long, value_enum, global = true, help_heading = "Global options", value_name = "WHERE")]
    pub(crate) ports: Option<PortsWhere>,
    /// Go on with a project whose containers came from another directory
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) take_over: bool,
    /// Ignored; objects are always worked on side by side
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub(crate) parallel: Option<i32>,
    /// Show more: which files are read, and where the supervisor's log is, which then says more too
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Ignored
    #[arg(long, hide = true)]
    pub(crate) compatibility: bool,
    /// Include what no service uses
    #[arg(long, hide = true)]
    pub(crate) all_resources: bool,
    /// Say what would be done, and do nothing
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) dry_run: bool,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressWay {
    /// Live on a terminal, plain lines without one
    Auto,
    /// Live
    Tty,
    /// Plain lines
    Plain,
    /// A JSON document a line
    Json,
    /// Nothing
    Quiet,
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "clap shows each as it is")]
pub(crate) enum Ansi {
    Auto,
    Never,
    Always,
}

/// `--substitute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubstituteWhen {
    /// Only the exact image
    Never,
    /// The exact image if it can be had, else a stand-in
    Missing,
    /// A stand-in wherever there is one
    Always,
}

impl From<SubstituteWhen> for Substitute {
    fn from(when: SubstituteWhen) -> Self {
        match when {
            SubstituteWhen::Never => Self::Never,
            SubstituteWhen::Missing => Self::Missing,
            SubstituteWhen::Always => Self::Always,
        }
    }
}

/// `--ports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PortsWhere {
    /// Where the file says
    File,
    /// On an address of the project's own, and on free ports where that does not do
    Auto,
}

impl From<PortsWhere> for Ports {
    fn from(ports: PortsWhere) -> Self {
        match ports {
            PortsWhere::File => Self::File,
            PortsWhere::Auto => Self::Auto,
        }
    }
}

/// Format of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Columns
    #[default]
    Table,
    /// JSON
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create and start the project's services
    Up(verbs::up::Arguments),
    /// Stop and remove the project's containers and networks
    Down(verbs::down::Arguments),
    /// List containers
    Ps(verbs::ps::Arguments),
    /// Show the services' output
    Logs(verbs::logs::Arguments),
    /// Run a program in a running container
    Exec(verbs::exec::Arguments),
    /// Attach to the streams of a running container
    Attach(verbs::attach::Arguments),
    /// Run a service's container once, with a program of one's own
    Run(verbs::run::Arguments),
    /// Start services that were created
    Start(verbs::start::Arguments),
    /// Stop services
    Stop(verbs::stop::Arguments),
    /// Stop and start services
    Restart(verbs::restart::Arguments),
    /// Send a signal to services
    Kill(verbs::kill::Arguments),
    /// Remove stopped containers
    Rm(verbs::rm::Arguments),
    /// Freeze services
    Pause(verbs::pause::Arguments),
    /// Thaw services
    Unpause(verbs::pause::Arguments),
    /// Change the number of a service's containers
    Scale(verbs::scale::Arguments),
    /// Show the processes of services
    Top(verbs::top::Arguments),
    /// Show what containers use, live
    Stats(verbs::stats::Arguments),
    /// Show where a port is published
    Port(verbs::port::Arguments),
    /// Print the resolved Compose file
    #[command(visible_alias = "convert")]
    Config(verbs::config::Arguments),
    /// List projects
    Ls(verbs::ls::Arguments),
    /// List the images of containers
    Images(verbs::images::Arguments),
    /// Manage the images that are stored
    Image(verbs::image::Arguments),
    /// Load images from an archive
    Load(verbs::image::Load),
    /// Save images into an archive
    Save(verbs::image::Save),
    /// Give an image another name
    Tag(verbs::image::Tag),
    /// Remove images
    Rmi(verbs::image::Remove),
    /// Remove images that nothing needs
    Prune(verbs::image::PruneArguments),
    /// List volumes
    Volumes(verbs::volumes::Arguments),
    /// Show, check and renew the certificates of running services
    Certs(verbs::certs::Arguments),
    /// Show and change the secrets that were generated
    Secrets(verbs::secrets::Arguments),
    /// Open the project's vault, and make in it what services need
    Vault(verbs::vault::Arguments),
    /// Fetch images
    Pull(verbs::pull::Arguments),
    /// Create containers without starting them
    Create(verbs::create::Arguments),
    /// Wait until services stopped
    Wait(verbs::wait::Arguments),
    /// Show what happens to containers
    Events(verbs::events::Arguments),
    /// Copy files to and from a container
    Cp(verbs::cp::Arguments),
    /// Keep containers as the files here are, as these change
    Watch(verbs::watch::Arguments),
    /// Show the order in which services start
    Graph(verbs::graph::Arguments),
    /// Show how the project is as a whole
    Status(verbs::stack::status::Arguments),
    /// Show what health checks say; 1 where something is unhealthy
    Health(verbs::stack::health::Arguments),
    /// Open a shell in a running container
    Shell(verbs::stack::shell::Arguments),
    /// List profiles with their services
    Profiles(verbs::stack::profiles::Arguments),
    /// Show the addresses of services
    Ip(verbs::stack::ip::Arguments),
    /// Have this machine and its browsers trust the gateway's certificates
    Trust(verbs::trust::Arguments),
    /// Show or keep the gateway's names in this machine's hosts file
    Hosts(verbs::hosts::Arguments),
    /// Remove the project with its volumes
    Reset(verbs::stack::reset::Arguments),
    /// Keep the project's data in a folder
    Backup(verbs::stack::backup::BackupArguments),
    /// Replace the project's data by that of a backup
    Restore(verbs::stack::backup::RestoreArguments),
    /// Check that backups are as they were written
    Verify(verbs::stack::backup::VerifyArguments),
    /// Show what this machine can and cannot do
    Doctor(verbs::doctor::Arguments),
    /// Show the version
    Version(verbs::version::Arguments),
    /// Print a completion script
    Completion(verbs::completion::Arguments),
    /// Write man pages into a directory
    #[command(hide = true)]
    Man(verbs::completion::ManArguments),
    /// Build images (not available yet)
    #[command(hide = true)]
    Build(Unavailable),
    /// Push images (not available yet)
    #[command(hide = true)]
    Push(Unavailable),
    /// Publish the project (not available yet)
    #[command(hide = true)]
    Publish(Unavailable),
    /// Turn the project into another form (not available yet)
    #[command(hide = true)]
    Bridge(Unavailable),
    /// Make an image of a container (not available yet)
    #[command(hide = true)]
    Commit(Unavailable),
    /// Export for another ground (not available yet)
    #[command(hide = true)]
    Export(Unavailable),
}

/// Arguments of a verb that is known but does nothing yet.
#[derive(Debug, Args)]
pub(crate) struct Unavailable {
    /// Whatever is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn check(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn lines_of_docker_compose_are_understood() {
        for line in [
            "mesh up -d --wait --wait-timeout 60 --build --scale web=3 --scale db=1 --remove-orphans -t 5 web db",
            "mesh up --force-recreate --no-deps -V --pull always --quiet-pull -y",
            "mesh up --abort-on-container-exit --exit-code-from app --no-attach db --timestamps --no-log-prefix",
            "mesh -f a.yaml -f b.yaml -p hub --env-file x --profile dev --project-directory . up",
            "mesh down -v --rmi local --remove-orphans -t 3 web",
            "mesh ps -a -q --services --status running --filter status=exited --format json --no-trunc --orphans=false",
            "mesh logs -f -n 20 -t --since 10m --until 5m --no-log-prefix --no-color --index 2 web",
            "mesh exec -T -u root -w /tmp -e A=b --index 2 --privileged db psql -U x -c select",
            "mesh run --rm -d -e A -T -i -u 1 -w / -v a:/b -p 80:80 -P --name n --entrypoint sh --no-deps web -c ls",
            "mesh start --wait --wait-timeout 3 web",
            "mesh stop -t 1 web",
            "mesh restart -t 1 --no-deps web",
            "mesh kill -s INT --remove-orphans web",
            "mesh rm -fsv web",
            "mesh pause web",
            "mesh unpause",
            "mesh scale web=2 --no-deps",
            "mesh top",
            "mesh stats -a --no-stream --no-trunc --format json",
            "mesh port --protocol udp --index 1 web 53",
            "mesh config --format json -q -o out --no-interpolate",
            "mesh config --services",
            "mesh convert --hash *",
            "mesh ls -a -q --filter name=hub --format json",
            "mesh images --format json -q",
            "mesh volumes --format json -q db",
            "mesh pull --policy missing --include-deps --ignore-buildable --ignore-pull-failures -q web",
            "mesh create --build --force-recreate --pull never --scale a=2 web",
            "mesh wait --down-project web",
            "mesh events --json --since 1m --until 2m web",
            "mesh cp -a -L --index 1 web:/etc/passwd -",
            "mesh attach --no-stdin --sig-proxy=false --detach-keys ctrl-a,x --index 2 web",
            "mesh exec -i=false -t=false --no-TTY db ls",
            "mesh watch --no-up --prune=false --quiet web",
            "mesh graph --format dot",
            "mesh doctor --format json",
            "mesh status --format json",
            "mesh health web --format json",
            "mesh shell -s zsh -u root --index 2 web",
            "mesh profiles --format json",
            "mesh ip web --format json",
            "mesh reset -y",
            "mesh trust --remove -y",
            "mesh trust --print",
            "mesh hosts --write --yes",
            "mesh hosts --remove --hosts-file x",
            "mesh backup -o kept",
            "mesh restore -y 20251121_091530 --output kept",
            "mesh verify --all",
            "mesh version --short",
            "mesh version -f json",
            "mesh completion bash",
            "mesh --substitute always up --progress json --ansi never",
            "mesh build --no-cache web",
        ] {
            if let Err(error) = check(line) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn exec_is_read_alone_as_among_all_verbs() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let among = |line: &str| CommandLine::try_parse_from(words(line));
        for line in [
            "mesh exec db ls",
            "mesh exec -T -u root -w /tmp -e A=b --index 2 --privileged db psql -U x -c select",
            "mesh exec --no-tty --user root --workdir /tmp --env A=b --env A --detach db ls -T --ansi never --index 3",
            "mesh exec --no-TTY -e A=b -e A=b -id db sh -c a=b  x",
            "mesh exec -it db ls -",
            "mesh exec -iT --tty db ls",
            "mesh exec --interactive --index 0 db =",
        ] {
            let (Some(alone), Ok(among)) = (CommandLine::read_exec(&words(line)), among(line)) else {
                panic!("{line} is not understood")
            };
            assert!(alone.is_plain && !among.is_plain, "{line}");
            let said = |it: &CommandLine| format!("{:?}", (&it.global, &it.verb, &it.own));
            assert_eq!(said(&alone), said(&among), "{line}");
        }
        // For the definition, which refuses some of them.
        for line in [
            "mesh",
            "mesh up",
            "mesh exec",
            "mesh exec db",
            "mesh exec --help",
            "mesh exec -h db ls",
            "mesh -p a exec db ls",
            "mesh exec --ansi never db ls",
            "mesh exec --user=root db ls",
            "mesh exec -uroot db ls",
            "mesh exec -Tu root db ls",
            "mesh exec -T -T db ls",
            "mesh exec -u a --user b db ls",
            "mesh exec -u -T db ls",
            "mesh exec -u  db ls",
            "mesh exec --index x db ls",
            "mesh exec -n 1 db ls",
            "mesh exec -p db ls",
            "mesh exec - db ls",
            "mesh exec -- db ls",
            "mesh exec --T db ls",
            "mesh exec db -T ls",
            "mesh exec db ls -- x",
            "mesh exec  ls x",
            "mesh exec -x db ls",
        ] {
            assert!(CommandLine::read_exec(&words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in
            ["mesh", "mesh fly", "mesh up --scale web", "mesh exec db", "mesh stop -t soon", "mesh port web"]
        {
            match check(line) {
                Err(error) => assert_eq!(error.exit_code(), 2, "{line}"),
                Ok(_) => panic!("{line} was understood"),
            }
        }
    }

    #[test]
    fn what_follows_a_program_is_its_own() {
        let Ok(CommandLine { verb: Verb::Exec(arguments), .. }) = check("mesh exec db ls -T --index 4")
        else {
            panic!("not understood");
        };
        assert_eq!(arguments.command, ["ls", "-T", "--index", "4"]);
        assert!(!arguments.no_tty && arguments.index.is_none());
    }
}
