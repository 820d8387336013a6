//! The arguments of `vault server`.

use super::listener;
use mesh_redact::Secret;
use std::path::PathBuf;

/// What `vault server -help` says.
pub const USAGE: &str = "\
Usage: vault server [options]

  Starts a server that answers Vault's HTTP API. It starts sealed and, the first time, not initialized:
  see \"vault operator init\" and \"vault operator unseal\".

      vault server -config=/etc/vault/config.hcl
      vault server -dev -dev-root-token-id=root

Options:

  -config=<path>              A configuration file, or a directory of *.hcl and *.json files. May be given
                              several times.
  -log-level=<level>          trace, debug, info, warn or error; also VAULT_LOG_LEVEL.
  -dev                        In memory, initialized, unsealed, and with a KV engine at secret/.
  -dev-root-token-id=<token>  The root token of -dev; also VAULT_DEV_ROOT_TOKEN_ID.
  -dev-listen-address=<addr>  Where -dev listens (127.0.0.1:8200); also VAULT_DEV_LISTEN_ADDRESS.
  -dev-no-store-token         Accepted: the root token of -dev is in no file here.
  -dev-no-kv                  No KV engine at secret/ with -dev.
  -dev-kv-v1                  Version 1 of it with -dev.
";

/// `-dev` and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Development {
    /// The root token to be; a random one without.
    pub root_token: Option<Secret<String>>,
    /// Where to listen.
    pub listen: String,
    /// The KV engine's version at `secret/`; none for no engine.
    pub kv_version: Option<u8>,
}

/// The arguments, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Files and directories.
    pub configs: Vec<PathBuf>,
    /// `-dev`.
    pub development: Option<Development>,
    /// `-log-level`.
    pub log_level: Option<String>,
}

/// Arguments that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// Not an error: the usage was asked for.
    #[error("{USAGE}")]
    Help,
    /// Not known.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// Without its value.
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    /// With a value that is none.
    #[error("invalid boolean value {value:?} for -{flag}")]
    NoBoolean {
        /// Its name.
        flag: String,
        /// What was given.
        value: String,
    },
    /// A word that is no flag.
    #[error("Too many arguments (expected 0, got {0})")]
    TooMany(usize),
    /// Neither a file nor `-dev`.
    #[error("Must specify at least one config path using -config")]
    NoConfig,
}

/// Flags of Vault that are taken and change nothing here.
const TAKEN_WITH_VALUE: [&str; 4] = ["log-file", "log-format", "log-rotate-duration", "dev-plugin-dir"];
const TAKEN_ALONE: [&str; 3] = ["dev-no-store-token", "exit-on-core-shutdown", "combine-logs"];

impl Arguments {
    /// Reads what follows `server`.
    ///
    /// # Errors
    /// See [`ArgumentsError`].
    pub fn parse(
        arguments: &[String],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ArgumentsError> {
        let given = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut parsed = Self { log_level: given("VAULT_LOG_LEVEL"), ..Self::default() };
        let mut development = Development {
            root_token: given("VAULT_DEV_ROOT_TOKEN_ID").map(Secret::new),
            listen: given("VAULT_DEV_LISTEN_ADDRESS").unwrap_or_else(|| listener::ADDRESS.to_owned()),
            kv_version: Some(2),
        };
        let mut dev = false;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                return Err(ArgumentsError::TooMany(words.count() + 1));
            };
            let (flag, inline) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (flag, None),
            };
            let mut value = || {
                let next = inline.clone().or_else(|| words.next().cloned());
                next.ok_or_else(|| ArgumentsError::NoValue(flag.to_owned()))
            };
            match flag {
                "h" | "help" => return Err(ArgumentsError::Help),
                "config" => parsed.configs.push(value()?.into()),
                "log-level" => parsed.log_level = Some(value()?),
                "dev" => dev = boolean(flag, inline)?,
                // The flag with an empty value is how the image's entrypoint says that there is none.
                "dev-root-token-id" => {
                    let token = value()?;
                    development.root_token = (!token.is_empty()).then(|| Secret::new(token));
                }
                "dev-listen-address" => development.listen = value()?,
                "dev-no-kv" => {
                    if boolean(flag, inline)? {
                        development.kv_version = None;
                    }
                }
                "dev-kv-v1" => {
                    if boolean(flag, inline)? {
                        development.kv_version = Some(1);
                    }
                }
                flag if TAKEN_WITH_VALUE.contains(&flag) => drop(value()?),
                flag if TAKEN_ALONE.contains(&flag) => drop(boolean(flag, inline)?),
                flag => return Err(ArgumentsError::Unknown(flag.to_owned())),
            }
        }
        parsed.development = dev.then_some(development);
        let configured = environment("VAULT_LOCAL_CONFIG").is_some_and(|text| !text.trim().is_empty());
        if parsed.configs.is_empty() && parsed.development.is_none() && !configured {
            return Err(ArgumentsError::NoConfig);
        }
        Ok(parsed)
    }
}

fn boolean(flag: &str, value: Option<String>) -> Result<bool, ArgumentsError> {
    match value.as_deref() {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(ArgumentsError::NoBoolean { flag: flag.to_owned(), value: value.to_owned() }),
    }
}
