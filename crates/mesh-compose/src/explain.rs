//! Where the value of one variable comes from: noted while loading, and put in order afterwards.

use crate::{
    context::{At, Context},
    node::{Map, Node},
    template::{self, Use, Variables},
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
    /// How.
    pub form: UsageForm,
}

/// How a file uses a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageForm {
    /// `${A}`.
    Plain,
    /// `${A:-word}`.
    Default(String),
    /// `${A:+word}`.
    Alternate(String),
    /// `${A:?word}`.
    Required,
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
        let project = environment.get(name).filter(|value| name == "COMPOSE_PROJECT_NAME" && shell.get(name) != Some(value));
        origins.extend(project.map(|value| Origin::new(Source::Project, None, value)));
        origins.extend(shell.get(name).map(|value| Origin::new(Source::Shell, None, value)));
        for (stage, source) in [(Stage::Project, Source::EnvFile), (Stage::Include, Source::IncludedEnvFile)] {
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
            let mut forms = Forms { name: &self.name, found: Vec::new() };
            // What is wrong with it was told when it was read.
            let _ = template::substitute(text, &mut forms);
            found.extend(forms.found.into_iter().map(|form| Usage { place: cx.place(*at), form }));
        }
        found.truncate(NOTES_MAX);
        found
    }

    fn services(&self, tree: &Node, cx: &Context) -> Vec<ServiceVariable> {
        let services = tree.get("services").and_then(Node::as_map);
        let mut found = Vec::new();
        for (service, entry) in services.into_iter().flatten() {
            let Some(variable) = entry.node.get("environment").and_then(Node::as_map).and_then(|map| map.get(&self.name))
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

/// Collects how one variable is used.
struct Forms<'n> {
    name: &'n str,
    found: Vec<UsageForm>,
}

impl Variables for Forms<'_> {
    fn value(&mut self, _name: &str) -> Option<String> {
        None
    }

    fn used(&mut self, name: &str, how: Use<'_>) {
        if name == self.name {
            self.found.push(match how {
                Use::Plain => UsageForm::Plain,
                Use::Default(word) => UsageForm::Default(word.to_owned()),
                Use::Alternate(word) => UsageForm::Alternate(word.to_owned()),
                Use::Required => UsageForm::Required,
            });
        }
    }

    fn unset(&mut self, _name: &str) {}
}
