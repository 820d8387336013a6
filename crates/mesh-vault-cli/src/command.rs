//! Commands, and what one is called with.

use crate::{
    client::{ApiError, Ask, Client},
    environment::Environment,
    flags::{Flag, Flags, Kind, flag},
    secret::Secret,
    ui::Ui,
    verbs,
};

/// A command: its words, what it is for, its flags, and what it does.
pub(crate) struct Command {
    pub(crate) words: &'static [&'static str],
    /// What stands behind its words.
    pub(crate) arguments: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) output: Output,
    pub(crate) flags: &'static [Flag],
    pub(crate) run: fn(&mut Call<'_>) -> Outcome,
}

/// Which flags of output a command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// None.
    No,
    Format,
    FormatAndField,
    FormatAndDetailed,
}

/// An exit code, or what went wrong.
pub(crate) type Outcome = Result<u8, Fault>;

/// What went wrong: a text for standard error, and an exit code.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: u8,
    pub(crate) text: String,
    /// Nothing did: the text is the line for `curl` that was asked for.
    pub(crate) as_curl: bool,
}

/// A fault of how a command was called.
pub(crate) fn wrong(text: impl Into<String>) -> Fault {
    Fault { code: 1, text: text.into(), as_curl: false }
}

/// A fault of what was asked for.
pub(crate) fn failed(text: impl Into<String>) -> Fault {
    Fault { code: 2, text: text.into(), as_curl: false }
}

/// A fault of the server's, told with what was attempted.
pub(crate) fn refused(attempt: impl std::fmt::Display) -> impl FnOnce(ApiError) -> Fault {
    move |error| match error {
        ApiError::Curl(text) => Fault { code: 0, text, as_curl: true },
        error => failed(format!("{attempt}: {error}")),
    }
}

const FORMAT: &[Flag] = &[flag(&["format"], Kind::Text, "table, json or yaml.")];
const FIELD: &[Flag] =
    &[FORMAT[0], flag(&["field"], Kind::Text, "Print this field alone, without an end of line.")];
const DETAILED: &[Flag] = &[FORMAT[0], flag(&["detailed"], Kind::Switch, "Print more of each entry.")];

/// Flags of every command.
pub(crate) const HTTP: &[Flag] = &[
    flag(&["address"], Kind::Text, "Address of the server (VAULT_ADDR)."),
    flag(&["agent-address"], Kind::Text, "Address of an agent (VAULT_AGENT_ADDR)."),
    flag(&["ca-cert"], Kind::Text, "File of the authorities to trust (VAULT_CACERT)."),
    flag(&["ca-path"], Kind::Text, "Folder of the authorities to trust (VAULT_CAPATH)."),
    flag(&["client-cert"], Kind::Text, "Certificate to show to the server (VAULT_CLIENT_CERT)."),
    flag(&["client-key"], Kind::Text, "Its key (VAULT_CLIENT_KEY)."),
    flag(&["disable-redirects"], Kind::Switch, "Follow no redirection (VAULT_DISABLE_REDIRECTS)."),
    flag(&["header"], Kind::Pairs, "A header to send, key=value."),
    flag(&["namespace"], Kind::Text, "Namespace of the request (VAULT_NAMESPACE)."),
    flag(&["ns"], Kind::Text, "The same."),
    flag(&["non-interactive"], Kind::Switch, "Ask nobody."),
    flag(&["output-curl-string"], Kind::Switch, "Print the request as a line for curl; send nothing."),
    flag(&["policy-override"], Kind::Switch, "Taken, without effect."),
    flag(&["tls-server-name"], Kind::Text, "Name in the server's certificate (VAULT_TLS_SERVER_NAME)."),
    flag(&["tls-skip-verify"], Kind::Switch, "Do not look at the server's certificate (VAULT_SKIP_VERIFY)."),
    flag(&["wrap-ttl"], Kind::Time, "Put the answer behind a token for this long (VAULT_WRAP_TTL)."),
];

impl Command {
    /// Its flags of output.
    pub(crate) const fn common(&self) -> &'static [Flag] {
        match self.output {
            Output::No => &[],
            Output::Format => FORMAT,
            Output::FormatAndField => FIELD,
            Output::FormatAndDetailed => DETAILED,
        }
    }
}

/// The command that the arguments begin with, and what is left of them.
pub(crate) fn find(arguments: &[String]) -> Option<(&'static Command, &[String])> {
    let begins = |command: &&Command| {
        arguments.len() >= command.words.len()
            && command.words.iter().zip(arguments).all(|(word, argument)| word == argument)
    };
    let found = verbs::all().filter(begins).max_by_key(|command| command.words.len())?;
    Some((found, &arguments[found.words.len()..]))
}

/// What a command was called with.
pub(crate) struct Call<'a> {
    pub(crate) ui: Ui<'a>,
    pub(crate) flags: Flags,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Environment,
}

impl Call<'_> {
    /// A client with the user's token.
    pub(crate) fn client(&self) -> Result<Client, Fault> {
        let mut client = self.client_without_token()?;
        client.set_token(self.environment.token().map_err(failed)?);
        Ok(client)
    }

    /// A client that shows no token.
    pub(crate) fn client_without_token(&self) -> Result<Client, Fault> {
        Client::new(&self.environment, &self.flags).map_err(failed)
    }

    /// Fails unless there are so many arguments.
    pub(crate) fn count(&self, wanted: usize) -> Result<(), Fault> {
        self.at_least(wanted)?;
        let got = self.arguments.len();
        match got > wanted {
            true => Err(wrong(format!("Too many arguments (expected {wanted}, got {got})"))),
            false => Ok(()),
        }
    }

    /// Fails where there are fewer arguments.
    pub(crate) fn at_least(&self, wanted: usize) -> Result<(), Fault> {
        let got = self.arguments.len();
        match got < wanted {
            true => Err(wrong(format!("Not enough arguments (expected {wanted}, got {got})"))),
            false => Ok(()),
        }
    }

    /// An argument, without white space around it; empty where there is none.
    pub(crate) fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", |text| text.trim())
    }

    /// An argument as a path.
    pub(crate) fn path(&self, at: usize) -> String {
        self.argument(at).trim_matches('/').trim().to_owned()
    }

    /// An argument as a mount: with a slash at its end.
    pub(crate) fn mount(&self, at: usize) -> String {
        with_slash(&self.path(at))
    }

    /// Shows an answer, the field of it that was asked for, or, where there is none, a sentence.
    pub(crate) fn show(&mut self, answer: Option<&Secret>, sentence: &str) -> Outcome {
        match answer {
            None => {
                self.say_in_table(sentence);
                Ok(0)
            }
            Some(secret) => match self.flags.text("field").map(str::to_owned) {
                Some(field) => self.ui.show_field(secret, &field),
                None => self.ui.show_secret(secret),
            },
        }
    }

    /// A sentence that only people want to read.
    pub(crate) fn say_in_table(&mut self, sentence: &str) {
        if self.ui.format == crate::ui::Format::Table {
            self.ui.say(sentence);
        }
    }

    /// Asks, and says one sentence where all is well.
    pub(crate) fn ask_and_say(&mut self, ask: &Ask<'_>, attempt: &str, sentence: &str) -> Outcome {
        self.client()?.ask(ask).map_err(refused(attempt))?;
        self.ui.say(sentence);
        Ok(0)
    }
}

/// A path with a slash at its end; nothing stays nothing.
pub(crate) fn with_slash(path: &str) -> String {
    let path = path.trim().trim_end_matches('/');
    if path.is_empty() { String::new() } else { format!("{path}/") }
}
