//! What the file says of watching: which changes bring about what.

use super::pattern::Patterns;
use crate::failure::CliError;
use mesh_model::{
    develop::{BuildFiles, Watch, WatchAction},
    mount::MountSource,
    project::Project,
    service::Service,
};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Files that editors and tools make for a moment.
const EPHEMERAL: [&str; 12] = [
    "**/*___jb_old___",
    "**/*___jb_tmp___",
    "**/.idea/**",
    "**/.#*",
    "**/#*#",
    "**/4913",
    "**/*~",
    "**/.*.swp",
    "**/.*.swx",
    "**/.*.swo",
    "**/.*.swn",
    "**/.*.kate-swp",
];
/// Of version control, and in the temporary files of a language's tools.
const NEVER: [&str; 2] = [".git/", "**/*-go-tmp-umask"];
/// Largest `.dockerignore` that is read, in bytes.
const IGNORE_FILE_BYTES_MAX: u64 = 1 << 20;

/// One entry of `develop.watch`, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Name of the service.
    pub(crate) service: String,
    /// The entry.
    pub(crate) watch: Watch,
    include: Option<Patterns>,
    ignore: Vec<Patterns>,
}

impl Rule {
    fn new(service: &str, watch: &Watch, shared: &[Patterns]) -> Self {
        let root = watch.path.as_path();
        let own = |patterns: &[String]| Patterns::new(root, patterns.iter().map(String::as_str));
        let mut ignore = shared.to_vec();
        ignore.push(Patterns::new(Path::new("/"), EPHEMERAL));
        ignore.push(Patterns::new(root, NEVER));
        ignore.push(own(&watch.ignore));
        let include = (!watch.include.is_empty()).then(|| own(&watch.include));
        Self { service: service.to_owned(), watch: watch.clone(), include, ignore }
    }

    /// Whether a change of this path is meant.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        path.starts_with(&self.watch.path)
            && self.include.as_ref().is_none_or(|include| include.matches(path))
            && !self.ignore.iter().any(|ignore| ignore.matches(path))
    }

    /// Whether nothing in a directory is meant.
    pub(crate) fn leaves_out(&self, directory: &Path) -> bool {
        !directory.starts_with(&self.watch.path)
            || self.ignore.iter().any(|ignore| ignore.matches_whole(directory))
    }

    /// Where a path is in the container, for what is copied.
    pub(crate) fn target(&self, path: &Path) -> Option<PathBuf> {
        let target = self.watch.target.as_ref().filter(|_| self.watch.action.copies())?;
        let below = path.strip_prefix(&self.watch.path).ok()?;
        let target = Path::new(target);
        // A path joined with nothing would end with a slash.
        Some(if below == Path::new("") { target.to_owned() } else { target.join(below) })
    }
}

/// The rules of some services (none: all), and what is to be said about those left out.
pub(crate) fn rules(project: &Project, services: &[String]) -> Result<(Vec<Rule>, Vec<String>), CliError> {
    let (mut rules, mut notes) = (Vec::new(), Vec::new());
    let chosen = |name: &str| services.is_empty() || services.iter().any(|other| other == name);
    for service in project.services.values().filter(|service| chosen(&service.name)) {
        let shared = ignored_by_build(service.watch.iter().find_map(|watch| watch.build.as_ref()));
        for watch in &service.watch {
            if watch.action == WatchAction::Rebuild && !service.build {
                notes.push(format!(
                    "service {}: there is no `build` that changes below {} could ask for, this rule is left out",
                    service.name,
                    watch.path.display()
                ));
                continue;
            }
            if watch.action.copies() && is_bound(service, &watch.path) {
                notes.push(format!(
                    "path '{}' also declared by a bind mount volume, this path won't be monitored!",
                    watch.path.display()
                ));
                continue;
            }
            if watch.action == WatchAction::Rebuild {
                notes.push(format!(
                    "service {}: building images is not available yet, so changes below {} are only told",
                    service.name,
                    watch.path.display()
                ));
            }
            rules.push(Rule::new(&service.name, watch, &shared));
        }
    }
    if rules.is_empty() {
        return Err(CliError::said(
            "none of the selected services is configured for watch, consider setting a 'develop' section",
        ));
    }
    Ok((rules, notes))
}

/// Whether any service is to be watched at all.
pub(crate) fn any(project: &Project) -> bool {
    project.services.values().any(|service| !service.watch.is_empty())
}

/// Whether a path is in the container anyway.
fn is_bound(service: &Service, path: &Path) -> bool {
    service.mounts.iter().any(
        |mount| matches!(&mount.source, MountSource::Bind { path: source, .. } if path.starts_with(source)),
    )
}

/// What the build of a service leaves out of its context: by `<Dockerfile>.dockerignore`, or else by
/// `.dockerignore`.
fn ignored_by_build(build: Option<&BuildFiles>) -> Vec<Patterns> {
    let Some(BuildFiles { context, dockerfile }) = build else { return Vec::new() };
    let own = format!("{}.dockerignore", if dockerfile.is_empty() { "Dockerfile" } else { dockerfile });
    for name in [own.as_str(), ".dockerignore"] {
        if let Some(text) = read_ignore_file(&context.join(name)) {
            return vec![Patterns::of_file(context, &text)];
        }
    }
    Vec::new()
}

fn read_ignore_file(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(IGNORE_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, ignore: &[&str], include: &[&str]) -> Rule {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let watch = Watch {
            path: path.into(),
            action: WatchAction::Sync,
            target: Some("/srv".to_owned()),
            ignore: own(ignore),
            include: own(include),
            initial_sync: false,
            exec: None,
            build: None,
        };
        Rule::new("web", &watch, &[])
    }

    #[test]
    fn the_ignore_file_of_a_dockerfile_comes_before_that_of_its_context() {
        let context = tempfile::tempdir().unwrap();
        let watched = context.path().join("src");
        let build =
            BuildFiles { context: context.path().to_owned(), dockerfile: "Dockerfile.dev".to_owned() };
        let leaves_out = |name: &str| {
            let shared = ignored_by_build(Some(&build));
            shared.iter().any(|patterns| patterns.matches(&watched.join(name)))
        };
        assert!(!leaves_out("a.log"));
        std::fs::write(context.path().join(".dockerignore"), "src/*.log\n").unwrap();
        assert!(leaves_out("a.log") && !leaves_out("a.tmp"));
        std::fs::write(context.path().join("Dockerfile.dev.dockerignore"), "**/*.tmp\n").unwrap();
        assert!(!leaves_out("a.log") && leaves_out("a.tmp"));
    }

    #[test]
    fn rules_say_what_is_meant_and_where_it_goes() {
        let rule = rule("/app/src", &["tmp/"], &["**/*.js"]);
        for (path, want) in [
            ("/app/src/a.js", true),
            ("/app/src/deep/b.js", true),
            ("/app/src/a.css", false),
            ("/app/src/tmp/c.js", false),
            ("/app/src/.git/d.js", false),
            ("/app/src/.e.js.swp", false),
            ("/app/other/a.js", false),
        ] {
            assert_eq!(rule.concerns(Path::new(path)), want, "{path}");
        }
        assert_eq!(rule.target(Path::new("/app/src/deep/b.js")), Some("/srv/deep/b.js".into()));
        assert_eq!(rule.target(Path::new("/app/src")), Some("/srv".into()));
        assert!(rule.leaves_out(Path::new("/app/src/tmp/deep")));
        assert!(rule.leaves_out(Path::new("/app/src/.git")));
        assert!(!rule.leaves_out(Path::new("/app/src/deep")));
    }
}
