//! Where the value of one variable comes from: noted while loading, and put in order afterwards.

use crate::{
    context::{At, Context},
    node::{Map, Node},
};
use mesh_diag::Place;
use mesh_redact::Secret;
use std::collections::{BTreeMap, BTreeSet};

/// Most notes of one kind; a file may use a variable as often as it likes.
const NOTES_MAX: usize = 1_000;

/// Where a variable's value comes from, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The variable.
    pub name: String,
    /// Whether a Compose secret is made of it.
    pub is_secret: bool,
    /// Who gives it a value for the files: the one that counts first, then those it shadows.
    pub origins: Vec<Origin>,
    /// Where the files use it.
    pub uses: Vec<Usage>,
    /// The services whose containers get a variable of this name.
    pub services: Vec<ServiceVariable>,
}

/// Something that gives a variable a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What it is.
    pub source: Source,
    /// Where it stands, unless it is the shell.
    pub place: Option<Place>,
    /// The value; none where a container's variable is named without one and has none.
    pub value: Option<Secret<String>>,
}

/// What gives a variable a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The environment of the command.
    Shell,
    /// The project's `.env`, or a file of `--env-file`.
    EnvFile,
    /// A file with variables of an included project; for its files alone.
    IncludedEnvFile,
    /// The loader: the project's name.
    Project,
    /// Nobody wrote it down: it was generated.
    Generated,
    /// `environment` of a service.
    Environment,
    /// An `env_file` of a service.
    ServiceEnvFile,
}

/// One place where a file uses the variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Where.
    pub place: Option<Place>,
    /// What stands behind the name: nothing, `-`, `:-`, `+`, `:+`, `?` or `:?`.
    pub operator: String,
    /// What follows on the operator: a default, another value, a message.
    pub word: String,
}

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceVariable {
    /// The service.
    pub service: String,
    /// Who gives it a value: the one that counts first.
    pub origins: Vec<Origin>,
}

/// The stage of loading in which a note is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Project,
    Include,
    Service(String),
}

/// Notes about one variable.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    name: String,
    pub(crate) stage: Stage,
    assigned: Vec<(Stage, At, Secret<String>)>,
    texts: Vec<(At, String)>,
    /// Services that name it under `environment`.
    written: BTreeSet<String>,
}

impl Watch {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A file with variables gives `name` a value.
    pub(crate) fn assigned(&mut self, at: At, name: &str, value: &str) {
        if name == self.name && self.assigned.len() < NOTES_MAX {
            self.assigned.push((self.stage.clone(), at, Secret::new(value.to_owned())));
        }
    }

    /// The service being read has these variables of its own.
    pub(crate) fn written(&mut self, variables: &Map) {
        if let (Stage::Service(service), true) = (&self.stage, variables.contains_key(&self.name)) {
            self.written.insert(service.clone());
        }
    }

    /// A Compose file has a text with variables in it.
    pub(crate) fn read(&mut self, at: At, text: &str) {
        if self.texts.len() < NOTES_MAX && text.contains(&self.name) {
            self.texts.push((at, text.to_owned()));
        }
    }

    /// Puts the notes in order. `environment` is what variables were replaced from, `tree` the result.
    pub(crate) fn explain(
        self,
        shell: &BTreeMap<String, String>,
        environment: &BTreeMap<String, String>,
        tree: &Node,
        cx: &Context,
    ) -> Explanation {
        let name = self.name.as_str();
        let mut origins = Vec::new();
        let project = environment
            .get(name)
            .filter(|value| name == "COMPOSE_PROJECT_NAME" && shell.get(name) != Some(value));
        origins.extend(project.map(|value| Origin::new(Source::Project, None, value)));
        let generated = cx.generated.get(name).filter(|value| environment.get(name) == Some(value.expose()));
        origins.extend(generated.map(|value| Origin::new(Source::Generated, None, value.expose())));
        origins.extend(shell.get(name).map(|value| Origin::new(Source::Shell, None, value)));
        for (stage, source) in [(Stage::Project, Source::EnvFile), (Stage::Include, Source::IncludedEnvFile)]
        {
            origins.extend(self.of_stage(&stage, source, cx));
        }
        Explanation {
            is_secret: makes_a_secret(tree, name),
            origins,
            uses: self.usages(cx),
            services: self.services(tree, cx),
            name: self.name,
        }
    }

    /// What a stage's files say, the last first: it counts.
    fn of_stage(&self, stage: &Stage, source: Source, cx: &Context) -> Vec<Origin> {
        let notes = self.assigned.iter().rev().filter(|(of, ..)| of == stage);
        let origin = |(_, at, value): &(Stage, At, Secret<String>)| Origin {
            source,
            place: cx.place(*at),
            value: Some(value.clone()),
        };
        notes.map(origin).collect()
    }

    fn usages(&self, cx: &Context) -> Vec<Usage> {
        let mut found = Vec::new();
        for (at, text) in &self.texts {
            let forms = forms(text, &self.name);
            found.extend(forms.map(|(operator, word)| Usage {
                place: cx.place(*at),
                operator: operator.to_owned(),
                word: word.to_owned(),
            }));
        }
        found.truncate(NOTES_MAX);
        found
    }

    fn services(&self, tree: &Node, cx: &Context) -> Vec<ServiceVariable> {
        let services = tree.get("services").and_then(Node::as_map);
        let mut found = Vec::new();
        for (service, entry) in services.into_iter().flatten() {
            let Some(variable) =
                entry.node.get("environment").and_then(Node::as_map).and_then(|map| map.get(&self.name))
            else {
                continue;
            };
            let files = self.of_stage(&Stage::Service(service.clone()), Source::ServiceEnvFile, cx);
            let mut origins = Vec::new();
            if self.written.contains(service) {
                let value = variable.node.scalar().map(Secret::new);
                origins.push(Origin { source: Source::Environment, place: cx.place(variable.key_at), value });
            }
            origins.extend(files);
            found.push(ServiceVariable { service: service.clone(), origins });
        }
        found
    }
}

impl Origin {
    fn new(source: Source, place: Option<Place>, value: &str) -> Self {
        Self { source, place, value: Some(Secret::new(value.to_owned())) }
    }
}

/// Whether a secret takes its content from the variable.
fn makes_a_secret(tree: &Node, name: &str) -> bool {
    let secrets = tree.get("secrets").and_then(Node::as_map).into_iter().flat_map(Map::values);
    secrets.into_iter().any(|entry| entry.node.get("environment").and_then(Node::as_text) == Some(name))
}

/// Operator and word of every reference to `name` in `text`, also of those inside of other references.
fn forms<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
    // Each pair of `$` is one of its own.
    let mut free = 0;
    text.match_indices('$').filter_map(move |(at, _)| {
        if at < free {
            return None;
        }
        let rest = &text[at + 1..];
        if rest.starts_with('$') {
            free = at + 2;
            return None;
        }
        let Some(inside) = rest.strip_prefix('{') else { return after_name(rest, name).map(|_| ("", "")) };
        let after = after_name(inside, name)?;
        let after = &after[..closing(after)?];
        let operator = after.find(|c| !matches!(c, ':' | '-' | '+' | '?')).unwrap_or(after.len()).min(2);
        let operator = if after.starts_with(':') { operator } else { operator.min(1) };
        Some(after.split_at(operator))
    })
}

/// What follows on `name`, where `text` starts with it and with no longer one.
fn after_name<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.strip_prefix(name).filter(|after| !after.starts_with(is_name))
}

/// Index of the brace that closes.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    text.bytes().position(|byte| {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return true,
            b'}' => open -= 1,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_found() {
        let found = |text| forms(text, "A").collect::<Vec<_>>();
        assert_eq!(found("$A-${A}/${A:-b}"), [("", ""), ("", ""), (":-", "b")]);
        assert_eq!(found("$$A ${AB} $AB ${B:-${A?no}} ${A-{x}}"), [("?", "no"), ("-", "{x}")]);
        assert_eq!(found("${A ${ $"), []);
    }
}
