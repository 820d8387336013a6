//! `--explain`: where a variable's value comes from, which values it shadows, and who uses it.

use super::Arguments;
use crate::{
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
    words,
};
use mesh_compose::{Explanation, Origin, ServiceVariable, Source, Usage};
use mesh_diag::Place;
use mesh_redact::Secret;
use serde_json::{Value, json};

/// Words that make a name one of a secret, wherever they stand in it.
const SECRET_WORDS: [&str; 6] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL"];
/// Words that do where they are a part of their own.
const SECRET_PARTS: [&str; 9] = ["PASS", "PW", "PWD", "KEY", "APIKEY", "AUTH", "DSN", "COOKIE", "SALT"];

/// Prints it.
pub(super) fn run(context: &Context, arguments: &Arguments, name: &str) -> Result<u8, CliError> {
    let wanted = |no_interpolate| Wanted {
        services: arguments.services.clone(),
        no_interpolate,
        quiet: true,
        skip: arguments.skip(),
        // What was generated is not shown.
        keeper: None,
        explain: Some(name.to_owned()),
    };
    let whole = loading::load(&context.settings, &context.environment, &wanted(false));
    // A file that lacks a variable is what one asks about; as it is written it can still be read.
    let loaded = match whole {
        Err(CliError::Load { report }) => {
            loading::load(&context.settings, &context.environment, &wanted(true))
                .map_err(|_| CliError::Load { report })?
        }
        loaded => loaded?,
    };
    let Some(explanation) = &loaded.explanation else { return Err(unknown(name, &[])) };
    if explanation.origins.is_empty() && explanation.uses.is_empty() && explanation.services.is_empty() {
        let known: Vec<String> = loaded.variables.iter().map(|variable| variable.name.clone()).collect();
        return Err(unknown(name, &known));
    }
    let hidden = !arguments.show_secrets && (explanation.is_secret || is_secret(name));
    let shown = Shown { hidden };
    let text = match arguments.format.as_deref() {
        Some("json") => format!("{:#}\n", shown.in_json(explanation)),
        None | Some("" | "text") => shown.as_text(explanation),
        Some(other) => {
            return Err(
                CliError::said(format!("unsupported format {other:?}")).with_hint("it is text or json")
            );
        }
    };
    console::out(&text);
    Ok(0)
}

fn unknown(name: &str, known: &[String]) -> CliError {
    let error = CliError::said(format!("{name} is not set, and no file uses it"));
    match words::nearest(name, known.iter()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// Whether a name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts = || name.split(['_', '-', '.']);
    SECRET_WORDS.iter().any(|word| name.contains(word)) || parts().any(|part| SECRET_PARTS.contains(&part))
}

/// How values are shown.
struct Shown {
    hidden: bool,
}

impl Shown {
    fn value(&self, value: &Secret<String>) -> String {
        if self.hidden { value.to_string() } else { value.expose().clone() }
    }

    fn word(&self, word: &str) -> String {
        if self.hidden && !word.is_empty() { "***".to_owned() } else { word.to_owned() }
    }

    fn as_text(&self, explanation: &Explanation) -> String {
        let name = &explanation.name;
        let mut text =
            match explanation.origins.iter().find(|origin| origin.source != Source::IncludedEnvFile) {
                Some(origin) => self.line(&format!("{name} = "), origin),
                None => format!("{name} is not set for the project's files\n"),
            };
        let counts = explanation.origins.iter().position(|origin| origin.source != Source::IncludedEnvFile);
        for (number, origin) in
            explanation.origins.iter().enumerate().filter(|(number, _)| Some(*number) != counts)
        {
            let before = match (origin.source, counts) {
                (Source::IncludedEnvFile, None) if number == 0 => "  in included files: ",
                _ => "  shadowed: ",
            };
            text.push_str(&self.line(before, origin));
        }
        let value = counts
            .and_then(|counts| explanation.origins[counts].value.as_ref())
            .map(|value| value.expose().as_str());
        let included = explanation.origins.iter().any(|origin| origin.source == Source::IncludedEnvFile);
        if !explanation.uses.is_empty() {
            text.push_str("used by files\n");
        }
        for usage in &explanation.uses {
            let (place, form) = (place(usage.place.as_ref()), self.form(name, usage));
            // Included files may see another value, and which file is one is not told apart here.
            let outcome = if included { "" } else { outcome(usage, value) };
            text.push_str(&format!("  {place}  {form}{outcome}\n"));
        }
        if !explanation.services.is_empty() {
            text.push_str("in containers\n");
        }
        for service in &explanation.services {
            text.push_str(&self.service(name, service));
        }
        // A value may hold what a terminal acts on.
        console::inert(&text)
    }

    fn line(&self, before: &str, origin: &Origin) -> String {
        let value = origin.value.as_ref().map_or("(no value)".to_owned(), |value| self.value(value));
        let value = if value.is_empty() { "(blank)".to_owned() } else { value };
        format!("{before}{value}  from {}\n", source(origin))
    }

    fn service(&self, name: &str, service: &ServiceVariable) -> String {
        let mut text = String::new();
        for (number, origin) in service.origins.iter().enumerate() {
            let before = match number {
                0 => format!("  {}: {name} = ", service.service),
                _ => "    shadowed: ".to_owned(),
            };
            text.push_str(&self.line(&before, origin));
        }
        text
    }

    fn form(&self, name: &str, usage: &Usage) -> String {
        // A default may be as secret as the value.
        let word = if usage.operator.ends_with('?') { usage.word.clone() } else { self.word(&usage.word) };
        format!("${{{name}{}{word}}}", usage.operator)
    }

    fn in_json(&self, explanation: &Explanation) -> Value {
        let origins =
            |origins: &[Origin]| -> Vec<Value> { origins.iter().map(|origin| self.origin(origin)).collect() };
        let usage = |usage: &Usage| {
            json!({
                "place": usage.place.as_ref().map(|_| place(usage.place.as_ref())),
                "form": self.form(&explanation.name, usage),
            })
        };
        let service = |service: &ServiceVariable| json!({ "service": service.service, "origins": origins(&service.origins) });
        json!({
            "name": explanation.name,
            "redacted": self.hidden,
            "origins": origins(&explanation.origins),
            "uses": explanation.uses.iter().map(usage).collect::<Vec<Value>>(),
            "services": explanation.services.iter().map(service).collect::<Vec<Value>>(),
        })
    }

    fn origin(&self, origin: &Origin) -> Value {
        json!({
            "source": kind(origin.source),
            "place": origin.place.as_ref().map(|_| place(origin.place.as_ref())),
            "value": origin.value.as_ref().map(|value| self.value(value)),
        })
    }
}

/// What a reference comes to, where that is not the value.
fn outcome(usage: &Usage, value: Option<&str>) -> &'static str {
    let missing = value.is_none_or(|value| value.is_empty() && usage.operator.starts_with(':'));
    match (usage.operator.chars().last(), missing) {
        (Some('-'), true) => ": the default counts",
        (Some('+'), true) => ": blank",
        (Some('+'), false) => ": the other value counts",
        (Some('?'), true) => ": missing, which is an error",
        (None, true) => ": not set, which gives a blank",
        _ => "",
    }
}

fn kind(source: Source) -> &'static str {
    match source {
        Source::Shell => "shell",
        Source::Project => "project",
        Source::Generated => "generated",
        Source::EnvFile => "env-file",
        Source::IncludedEnvFile => "included-env-file",
        Source::Environment => "environment",
        Source::ServiceEnvFile => "service-env-file",
    }
}

fn source(origin: &Origin) -> String {
    let place = place(origin.place.as_ref());
    match origin.source {
        Source::Shell => "the shell".to_owned(),
        Source::Project => "the project's name".to_owned(),
        Source::Generated => "generated for this project, see `mesh secrets`".to_owned(),
        Source::EnvFile => place,
        Source::IncludedEnvFile => format!("{place}, which included files see"),
        Source::Environment => format!("`environment`, {place}"),
        Source::ServiceEnvFile => format!("`env_file` {place}"),
    }
}

/// `compose.yaml:3:5`, and for files with variables, which have a statement a line, `.env:3`.
fn place(place: Option<&Place>) -> String {
    let Some(place) = place else { return "nowhere".to_owned() };
    if place.length.is_none() && place.column <= 1 {
        return format!("{}:{}", place.file, place.line);
    }
    format!("{}:{}:{}", place.file, place.line, place.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets() {
        for (name, want) in [
            ("POSTGRES_PASSWORD", true),
            ("GITHUB_TOKEN", true),
            ("aws_secret_access_key", true),
            ("DB_PASS", true),
            ("HUB_REDIS_PORT", false),
            ("MONKEY", false),
            ("COMPASS_URL", false),
        ] {
            assert_eq!(is_secret(name), want, "{name}");
        }
    }
}
