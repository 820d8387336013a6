//! `vault`: opens the project's vault, and makes in it what services need before they start.

use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    generated, restoring, table,
    vault::{self, ProjectVault, Server},
};
use clap::{Args, Subcommand};
use mesh_bootstrap::{Bench, Directory, Found, Keys, Method, Outcome, Unsealed, Vault, Wanted};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Where containers have what services log in with, and the authorities' certificates.
const LOGINS_TARGET: &str = "/vault/approles";
const AUTHORITIES_TARGET: &str = "/vault/ca";
/// Bytes of a plan.
const PLAN_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `vault`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the vault is; without it `VAULT_ADDR`, or the published port 8200 of the project's vault
    #[arg(long, global = true, value_name = "URL")]
    address: Option<String>,
    /// Directory of its keys; without it the project's, or the volume that its container has at /vault/keys
    #[arg(long, global = true, value_name = "DIRECTORY")]
    keys: Option<PathBuf>,
    /// Seconds to wait until the vault answers
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Initialise a new vault, keep its keys in a file of mode 0600, and open it
    Init {
        /// Shares of the key
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=255))]
        shares: u32,
        /// Shares that open it
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=255))]
        threshold: u32,
    },
    /// Open it with the keys that are kept
    Unseal,
    /// Show whether it is initialised and open; exits with 0 open, 2 sealed, 1 neither
    Status,
    /// Show the root token
    Token,
    /// Initialise, open, and make credentials, authorities, policies and logins; what is there stays
    Bootstrap(Bootstrap),
    /// Show the certificates of the authorities
    CaCert,
    /// Show a service's password, or another of its credentials
    ShowPassword {
        /// The service
        service: String,
        /// The credential
        #[arg(default_value = "password")]
        field: String,
        /// Mount of the credentials
        #[arg(long, default_value = "secret")]
        mount: String,
    },
}

#[derive(Debug, Args)]
struct Bootstrap {
    /// The plan: a TOML file of services with their credentials
    #[arg(long, value_name = "FILE", default_value = "vault.toml")]
    plan: PathBuf,
    /// Directory for each service's role-id and secret-id
    #[arg(long, value_name = "DIRECTORY")]
    logins: Option<PathBuf>,
    /// Directory for the authorities' certificates
    #[arg(long, value_name = "DIRECTORY")]
    authorities: Option<PathBuf>,
    /// Processes of other users may read what services log in with: each sees its own folder alone
    #[arg(long)]
    readable: bool,
    /// Shares of the key of a new vault
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=255))]
    shares: u32,
    /// Shares that open it
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=255))]
    threshold: u32,
}

/// Does it. It asks a server and has no other work to do beside that.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let place = Place::find(context, &arguments).await?;
    let code = vault::apart(|| perform(&place, &arguments.verb, context.settings.dry_run))?;
    let opens = matches!(arguments.verb, Verb::Init { .. } | Verb::Unseal | Verb::Bootstrap(_));
    if let (true, Some(target)) = (opens && !context.settings.dry_run, &place.target) {
        generated::move_in(context, target).await;
    }
    Ok(code)
}

fn perform(place: &Place, verb: &Verb, dry: bool) -> Result<u8, CliError> {
    match verb {
        Verb::Token => console::out_line(place.kept()?.root_token.expose()),
        Verb::Status => return status(&place.server()?),
        Verb::Init { shares, threshold } if dry => {
            check_shares(*shares, *threshold)?;
            rehearse(place, Some((*shares, *threshold)))?;
        }
        Verb::Unseal if dry => rehearse(place, None)?,
        Verb::Init { shares, threshold } => {
            check_shares(*shares, *threshold)?;
            place.warn_of_readers();
            let _lock = place.keys.lock()?;
            let (done, _) =
                mesh_bootstrap::unseal(&place.server()?, &place.keys, Some((*shares, *threshold)))?;
            tell_unsealed(done, &place.keys);
        }
        Verb::Unseal => {
            place.warn_of_readers();
            let server = place.server()?;
            // One that initialises it is to end first, or its answer would be asked for beside it.
            let _lock = place.keys.lock_if_there()?;
            let (done, _) = mesh_bootstrap::unseal(&server, &place.keys, None)?;
            tell_unsealed(done, &place.keys);
        }
        Verb::Bootstrap(bootstrap) => make(place, bootstrap, dry)?,
        Verb::CaCert => {
            let server = place.server()?;
            for mount in ["pki_int", "pki"] {
                let answer = server.ask(Method::Read, &format!("{mount}/cert/ca"), None, None)?.data();
                let pem = answer.as_ref().and_then(|data| data.get("certificate")).and_then(Value::as_str);
                let missing = || CliError::said(format!("the vault has no authority at {mount}/"));
                console::out_line(pem.map(str::trim).filter(|pem| !pem.is_empty()).ok_or_else(missing)?);
            }
        }
        Verb::ShowPassword { service, field, mount } => {
            let token = place.kept()?.root_token;
            let path = format!("{mount}/data/{service}");
            let answer = place.server()?.ask(Method::Read, &path, None, Some(&token))?.data();
            let value = answer.as_ref().and_then(|data| data.get("data")?.get(field));
            let missing = || {
                CliError::said(format!("the vault has no {field} of {service}"))
                    .with_hint("`mesh vault bootstrap` makes what its plan says")
            };
            match value.ok_or_else(missing)? {
                Value::String(text) => console::out_line(text),
                other => console::out_line(&other.to_string()),
            }
        }
    }
    Ok(0)
}

/// What `init` or `unseal` would do.
fn rehearse(place: &Place, shares: Option<(u32, u32)>) -> Result<(), CliError> {
    place.warn_of_readers();
    console::out_line(match mesh_bootstrap::foresee(&place.server()?, &place.keys, shares)? {
        Unsealed::Initialised => "The vault would be initialised and opened.",
        Unsealed::Opened => "The vault would be opened.",
        Unsealed::Already => "The vault is open.",
    });
    Ok(())
}

fn seal_status(server: &Server) -> Result<Value, CliError> {
    Ok(server.ask(Method::Read, "sys/seal-status", None, None)?.data().unwrap_or_default())
}

fn check_shares(shares: u32, threshold: u32) -> Result<(), CliError> {
    if threshold > shares || (threshold == 1 && shares > 1) {
        return Err(CliError::said(format!("{threshold} of {shares} shares cannot open a vault"))
            .with_hint("the threshold is at least 2 and at most the number of shares, or both are 1"));
    }
    Ok(())
}

fn make(place: &Place, bootstrap: &Bootstrap, dry: bool) -> Result<(), CliError> {
    check_shares(bootstrap.shares, bootstrap.threshold)?;
    let plan = read_plan(&bootstrap.plan)?;
    let server = place.server()?;
    if !dry {
        place.warn_of_readers();
    }
    // Of two at once the second one finds what the first one made.
    let _lock = if dry { None } else { Some(place.keys.lock()?) };
    let keys = if dry {
        place.kept()?
    } else {
        let shares = Some((bootstrap.shares, bootstrap.threshold));
        let (done, keys) = mesh_bootstrap::unseal(&server, &place.keys, shares)?;
        tell_unsealed(done, &place.keys);
        keys.map_or_else(|| place.kept(), Ok)?
    };
    let directory = |path: &Path| {
        if bootstrap.readable {
            Directory::readable(path.to_owned())
        } else {
            Directory::private(path.to_owned())
        }
    };
    let logins = directory(bootstrap.logins.as_ref().unwrap_or(&place.logins));
    let authorities = directory(bootstrap.authorities.as_ref().unwrap_or(&place.authorities));
    let bench = Bench {
        vault: &server,
        token: &keys.root_token,
        wanted: &plan,
        logins: &logins,
        authorities: &authorities,
    };
    let (mut made, mut there) = (0_usize, 0_usize);
    bench.run(dry, &mut |outcome| {
        match outcome.found {
            Found::There => there += 1,
            _ => made += 1,
        }
        if let Some(line) = line(outcome, dry) {
            console::out_line(&line);
        }
    })?;
    let verb = if dry { "to be made" } else { "made" };
    console::out_line(&format!("{made} {verb}, {there} there already"));
    Ok(())
}

/// What is told of a step; of one that is there nothing.
fn line(outcome: &Outcome, dry: bool) -> Option<String> {
    let (what, would) = (&outcome.what, if dry { "would be " } else { "" });
    match &outcome.found {
        Found::There => None,
        Found::Missing => Some(format!("{what}: {would}made")),
        Found::Behind(difference) => Some(format!("{what}: {would}brought in line ({difference})")),
    }
}

fn tell_unsealed(done: Unsealed, keys: &Directory) {
    match done {
        Unsealed::Initialised => {
            let place = keys.path().display();
            console::out_line(&format!(
                "The vault is initialised and open. Its keys are in {place}: who has them has all of it."
            ));
        }
        Unsealed::Opened => console::out_line("The vault is open."),
        Unsealed::Already => console::out_line("The vault was open."),
    }
}

fn status(server: &Server) -> Result<u8, CliError> {
    let status = seal_status(server)?;
    let text = |name: &str| match status.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "-".to_owned(),
    };
    let row = |title: &str, name: &str| vec![title.to_owned(), text(name)];
    let rows = [
        vec!["Address".to_owned(), server.address.clone()],
        row("Initialised", "initialized"),
        row("Sealed", "sealed"),
        row("Shares", "n"),
        row("Threshold", "t"),
        row("Progress", "progress"),
        row("Version", "version"),
    ];
    console::out(&table::render(&["WHAT", "STATE"], &rows));
    Ok(match (status.get("initialized"), status.get("sealed")) {
        (Some(Value::Bool(true)), Some(Value::Bool(false))) => 0,
        (Some(Value::Bool(true)), _) => 2,
        _ => 1,
    })
}

fn read_plan(path: &Path) -> Result<Wanted, CliError> {
    let named = || format!("read {}", path.display());
    let size = path.metadata().map_err(CliError::io(named()))?.len();
    if size > PLAN_BYTES_MAX {
        return Err(CliError::said(format!("{} is larger than a plan is", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(CliError::io(named()))?;
    Wanted::parse(&text).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        CliError::said(format!("{}: {error}{cause}", path.display()))
    })
}

fn nowhere() -> CliError {
    CliError::said("nothing says where the vault is")
        .with_hint("start it with its port 8200 published, or give `--address URL` or VAULT_ADDR")
}

/// Where the vault and its files are.
struct Place {
    address: String,
    wait: Duration,
    keys: Directory,
    logins: PathBuf,
    authorities: PathBuf,
    /// The project whose vault it is.
    target: Option<Target>,
}

impl Place {
    /// By the arguments, the environment, or the project.
    async fn find(context: &Context, arguments: &Arguments) -> Result<Self, CliError> {
        let address =
            arguments.address.clone().or_else(|| context.environment.get("VAULT_ADDR").map(str::to_owned));
        let address = address.filter(|address| !address.is_empty());
        // What is said whole needs no project.
        let project = match (&address, &arguments.keys) {
            (Some(_), Some(_)) => None,
            _ => Some(context.target()?),
        };
        if let Some(target) = &project {
            restoring::settle(target).await?;
        }
        let address = match (address, &project) {
            (Some(address), _) => address,
            (None, Some(target)) => {
                let own = target.project.as_deref().and_then(|it| ProjectVault::of(it, &context.home.data));
                vault::published(own.as_ref(), &target.containers().await?).ok_or_else(nowhere)?
            }
            (None, None) => return Err(nowhere()),
        };
        let target = project;
        let project = target.as_ref().and_then(|target| target.project.as_deref());
        let data = &context.home.data;
        let keys = arguments.keys.clone().unwrap_or_else(|| vault::keys_directory(project, data));
        let (logins, authorities) = (
            vault::directory(project, data, LOGINS_TARGET, "approles"),
            vault::directory(project, data, AUTHORITIES_TARGET, "ca"),
        );
        // Generated secrets of the project go into its own vault alone.
        let own = arguments.address.is_none() && arguments.keys.is_none();
        Ok(Self {
            address,
            wait: Duration::from_secs(arguments.wait),
            keys: Directory::private(keys),
            logins,
            authorities,
            target: target.filter(|_| own),
        })
    }

    fn kept(&self) -> Result<Keys, CliError> {
        self.warn_of_readers();
        Keys::read(&self.keys)?.ok_or_else(|| {
            CliError::said(format!("there are no keys in {}", self.keys.path().display()))
                .with_hint("`mesh vault init` makes them, or `--keys DIRECTORY` says where they are")
        })
    }

    fn warn_of_readers(&self) {
        vault::warn_of_readers(&self.keys);
    }

    /// The server, once it answers.
    fn server(&self) -> Result<Server, CliError> {
        let server = Server::at(&self.address)?;
        server.wait(self.wait)?;
        Ok(server)
    }
}
