//! Requests of a program, without a command line: what a bootstrap asks.

use crate::{
    client::{ApiError, Ask, Client},
    environment::Environment,
    flags::Flags,
};
use mesh_redact::Secret;
use serde_json::Value;

/// A server, asked by a program.
pub struct Api {
    client: Client,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// `GET` a path.
    Get(&'a str),
    /// `LIST` a path.
    List(&'a str),
    /// `PUT` a body at a path.
    Put(&'a str, &'a Value),
    /// `DELETE` a path.
    Delete(&'a str),
}

/// What was answered: the status, and the body where there is one.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` for none.
    pub body: Value,
}

/// Why there was no answer, or an error.
#[derive(Debug)]
pub enum Fault {
    /// The server answered with an error: the status and its words.
    Answered(u16, String),
    /// There was no answer.
    Silent(String),
}

/// Why a server cannot be asked, for a person.
#[derive(Debug)]
pub enum Unusable {
    /// Its address is none.
    Address(String),
    /// A variable says what cannot be done.
    Variable(String),
}

/// Variables that say how a server is asked. Those that say which one, for whom, or that answers are wrapped, would
/// overrule the program.
const VARIABLES: [&str; 8] = [
    "VAULT_CACERT",
    "VAULT_CAPATH",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_CLIENT_TIMEOUT",
    "VAULT_DISABLE_REDIRECTS",
    "VAULT_SKIP_VERIFY",
    "VAULT_TLS_SERVER_NAME",
];

impl Api {
    /// A server by its address, with `VAULT_CACERT`, `VAULT_CLIENT_TIMEOUT` and the like as `get` has them; neither
    /// `VAULT_AGENT_ADDR` nor `VAULT_NAMESPACE` nor `VAULT_WRAP_TTL` counts.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn new(address: &str, get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Unusable> {
        Client::check_address(address).map_err(Unusable::Address)?;
        let get = |name: &str| match name {
            "VAULT_ADDR" => Some(address.to_owned()),
            name => get(name).filter(|_| VARIABLES.contains(&name)),
        };
        let environment = Environment::new(&get);
        let (flags, _) = Flags::parse(&[], &[]).map_err(Unusable::Variable)?;
        Ok(Self { client: Client::new(&environment, &flags).map_err(Unusable::Variable)? })
    }

    /// Asks, with a token or without.
    ///
    /// # Errors
    /// See [`Fault`]; 404 is an answer.
    pub fn ask(&mut self, question: Question<'_>, token: Option<&Secret<String>>) -> Result<Answer, Fault> {
        self.client.set_token(token.cloned());
        let ask = match question {
            Question::Get(path) => Ask::get(path),
            Question::List(path) => Ask::list(path),
            Question::Put(path, body) => Ask::put(path, body.clone()),
            Question::Delete(path) => Ask::delete(path),
        };
        match self.client.ask(&ask) {
            Ok(answered) => {
                let body = serde_json::from_slice(&answered.body).unwrap_or(Value::Null);
                Ok(Answer { status: answered.status.as_u16(), body })
            }
            Err(ApiError::Answered { status: 404, body, .. }) => {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                Ok(Answer { status: 404, body })
            }
            Err(ApiError::Answered { status, body, .. }) => Err(Fault::Answered(status, words(&body))),
            Err(error) => Err(Fault::Silent(error.to_string())),
        }
    }
}

/// The words of an error's body.
fn words(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let errors = parsed.as_ref().and_then(|body| body.get("errors")).and_then(Value::as_array);
    let words: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
    words.join("; ")
}
