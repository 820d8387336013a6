//! What the commands are, for people.

use crate::{
    CODE_UNKNOWN,
    command::{Command, HTTP},
    flags::{Flag, Kind},
    ui::{Ui, wrapped_with},
    verbs,
};

/// How a command is called.
pub(crate) fn of(command: &Command) -> String {
    let mut text = format!("Usage: vault {} [options] {}", command.words.join(" "), command.arguments);
    text.truncate(text.trim_end().len());
    text.push_str(&format!("\n\n  {}\n", command.summary));
    for (title, flags) in
        [("HTTP Options", HTTP), ("Output Options", command.common()), ("Command Options", command.flags)]
    {
        if flags.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{title}:\n"));
        for flag in flags {
            text.push_str(&format!("\n  {}\n{}\n", shown(flag), wrapped_with(flag.usage, 6)));
        }
    }
    text.trim_end().to_owned()
}

fn shown(flag: &Flag) -> String {
    let value = match flag.kind {
        Kind::Switch => "",
        Kind::Text | Kind::List => "=<string>",
        Kind::Number => "=<int>",
        Kind::Time => "=<duration>",
        Kind::Pairs => "=<key=value>",
    };
    let names: Vec<String> = flag.names.iter().map(|name| format!("-{name}{value}")).collect();
    names.join(", ")
}

/// Commands of Vault's own that are not here.
const ABSENT: [&str; 19] = [
    "agent",
    "auth help",
    "debug",
    "events",
    "monitor",
    "namespace",
    "operator diagnose",
    "operator members",
    "operator migrate",
    "operator raft",
    "operator step-down",
    "operator usage",
    "pki",
    "plugin",
    "proxy",
    "ssh",
    "transform",
    "transit",
    "version-history",
];

/// For arguments that name no command; gives the exit code.
pub(crate) fn without_command(ui: &mut Ui<'_>, arguments: &[String]) -> u8 {
    let words: Vec<&str> =
        arguments.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    let said = words.join(" ");
    let absent = ABSENT.iter().find(|absent| said == **absent || said.starts_with(&format!("{absent} ")));
    if let Some(absent) = absent {
        ui.error(&format!(
            "vault {absent} is not available here; what it asks of a server can be asked over HTTP"
        ));
        return 1;
    }
    let asked = arguments.iter().any(|word| ["-h", "-help", "--help"].contains(&word.as_str()));
    let below: Vec<&Command> = verbs::all().filter(|command| command.words.starts_with(&words)).collect();
    if words.is_empty() || below.is_empty() {
        let text = overview();
        if asked && words.is_empty() {
            ui.say(&text);
            return 0;
        }
        ui.error(&text);
        return CODE_UNKNOWN;
    }
    let mut text =
        format!("Usage: vault {} <subcommand> [options] [args]\n\nSubcommands:\n", words.join(" "));
    text.push_str(&lines(
        below.iter().map(|command| (command.words[words.len()..].join(" "), command.summary)),
    ));
    if asked {
        ui.say(&text);
        return 0;
    }
    ui.error(&text);
    1
}

fn overview() -> String {
    const COMMON: [&str; 7] = ["read", "write", "delete", "list", "login", "status", "unwrap"];
    let single = |command: &&Command| command.words.len() == 1;
    let common = COMMON.iter().filter_map(|word| verbs::all().filter(single).find(|c| c.words == [*word]));
    let common = common.map(|command| (command.words[0].to_owned(), command.summary));
    // It is another program's part, which the caller picks before this one.
    let common = common.chain([("server".to_owned(), "Start a Vault server")]);
    let mut others: Vec<(String, &str)> = verbs::all()
        .filter(|command| !COMMON.contains(&command.words[0]))
        .map(|command| match command.words {
            [word] => ((*word).to_owned(), command.summary),
            words => (words[0].to_owned(), group(words[0])),
        })
        .collect();
    others.sort();
    others.dedup();
    format!(
        "Usage: vault <command> [args]\n\nCommon commands:\n{}\n\nOther commands:\n{}",
        lines(common),
        lines(others.into_iter())
    )
}

fn lines(rows: impl Iterator<Item = (String, &'static str)>) -> String {
    let rows: Vec<(String, &str)> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, text)| format!("    {name:width$}    {text}")).collect::<Vec<_>>().join("\n")
}

fn group(word: &str) -> &'static str {
    match word {
        "audit" => "Interact with audit devices",
        "auth" => "Interact with auth methods",
        "kv" => "Interact with Vault's Key-Value storage",
        "lease" => "Interact with leases",
        "operator" => "Perform operator-specific tasks",
        "policy" => "Interact with policies",
        "print" => "Prints runtime configurations",
        "secrets" => "Interact with secrets engines",
        "token" => "Interact with tokens",
        _ => "",
    }
}
