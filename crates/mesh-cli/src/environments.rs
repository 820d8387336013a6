//! Which environment a project runs in: `.env` is made of one of the templates that the project has for them.
//!
//! A template is `env/NAME.env.example` beside the Compose file. Without `.env`, a verb that starts something asks for
//! one on a terminal, and keeps it as `.env`; `--environment NAME` chooses without asking, and every other verb reads
//! that template without keeping it. `.env` is never written over: what was chosen stays chosen. Where variables are
//! read from somewhere else (`--env-file`, `COMPOSE_ENV_FILES`), nothing of this happens.

use crate::{
    arguments::{Global, Verb},
    console,
    environment::Environment,
    failure::CliError,
};
use mesh_compose::FILE_NAMES;
use mesh_file::Beside;
use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

/// Where templates are, below the project's directory.
const FOLDER: &str = "env";
/// What their names end in.
const ENDING: &str = ".env.example";
/// What stands before the environment's name in the first line of a file that was made.
const MADE_OF: &str = "# environment: ";
/// Most templates that are looked at.
const TEMPLATES_MAX: usize = 64;
/// Largest template, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;
/// How often a name that is none is asked for again.
const QUESTIONS_MAX: usize = 3;
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 256;

/// Sees to the environment's file before anything is read. `own`: the word for the verb was none of Mesh's.
///
/// # Errors
/// An environment that there is none of, another one than `.env` is for, a template that cannot be read, or `.env` that
/// cannot be written.
pub(crate) fn choose(
    global: &mut Global,
    verb: &Verb,
    own: bool,
    environment: &Environment,
    directory: &Path,
) -> Result<(), CliError> {
    let elsewhere = !global.env_files.is_empty()
        || environment.get("COMPOSE_ENV_FILES").is_some_and(|files| !files.is_empty())
        || environment.is_true("COMPOSE_DISABLE_ENV_FILE");
    if elsewhere {
        return match &global.environment {
            Some(_) => {
                Err(CliError::said("--environment says nothing where variables are read from elsewhere"))
            }
            None => Ok(()),
        };
    }
    let project = project_directory(global, directory);
    let file = project.join(".env");
    let keeps = matches!(verb, Verb::Up(_) | Verb::Create(_) | Verb::Run(_)) && !own && !global.dry_run;
    // A link that leads nowhere is somebody's too.
    if file.symlink_metadata().is_ok() {
        if keeps {
            mesh_file::sweep(&file);
        }
        return global.environment.as_ref().map_or(Ok(()), |wanted| agree(&file, wanted));
    }
    let templates = templates(&project.join(FOLDER));
    let chosen = match &global.environment {
        Some(name) => name.clone(),
        None if templates.is_empty() || !keeps => return Ok(()),
        None => match ask(&templates)? {
            Some(name) => name,
            None => {
                let (example, folder) = (&templates[0], project.join(FOLDER));
                console::err_line(&format!(
                    "note: there is no .env; {} has templates: mesh --environment {example} up",
                    folder.display()
                ));
                return Ok(());
            }
        },
    };
    if !templates.contains(&chosen) {
        return Err(none(&chosen, &templates, &project));
    }
    let template = project.join(FOLDER).join(format!("{chosen}{ENDING}"));
    if !keeps {
        global.env_files.push(template);
        return Ok(());
    }
    match keep(&template, &file, &chosen)? {
        Kept::Made => console::err_line(&format!("note: made {} of {}", file.display(), template.display())),
        // Somebody else's choice, just now.
        Kept::There => agree(&file, &chosen)?,
    }
    Ok(())
}

fn project_directory(global: &Global, directory: &Path) -> PathBuf {
    let first = global.files.iter().find(|file| file.as_path() != Path::new("-"));
    let beside = first.and_then(|file| file.parent()).map(Path::to_owned);
    match global.project_directory.clone().or(beside) {
        Some(named) => directory.join(named),
        None => {
            let has_file = |folder: &&Path| FILE_NAMES.iter().any(|name| folder.join(name).exists());
            directory.ancestors().find(has_file).unwrap_or(directory).to_owned()
        }
    }
}

/// Names of the environments that there is a template for, sorted.
fn templates(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(TEMPLATES_MAX);
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?.strip_suffix(ENDING)?.to_owned();
        (!name.is_empty() && entry.path().is_file()).then_some(name)
    };
    let mut found: Vec<String> = entries.filter_map(name).collect();
    found.sort();
    found
}

/// The answer of somebody at a terminal; nothing where there is nobody, or who wants none.
fn ask(templates: &[String]) -> Result<Option<String>, CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    for _ in 0..QUESTIONS_MAX {
        console::err(&format!("There is no .env yet. Which environment is this? [{}] ", templates.join("/")));
        let mut answer = String::new();
        let mut input = io::stdin().lock().take(ANSWER_BYTES_MAX);
        input.read_line(&mut answer).map_err(CliError::io("read the answer"))?;
        match answer.trim() {
            "" => return Ok(None),
            name if templates.iter().any(|known| known == name) => return Ok(Some(name.to_owned())),
            other => console::err_line(&format!("There is no template for {other:?}.")),
        }
    }
    Ok(None)
}

/// Whether `.env` is for the environment that is wanted.
fn agree(file: &Path, wanted: &str) -> Result<(), CliError> {
    let text = read(file)?;
    let made_of = text.lines().next().and_then(|line| line.strip_prefix(MADE_OF)).map(str::to_owned);
    let value = |line: &str| {
        let value = line.trim().strip_prefix("ENVIRONMENT=")?.split(" #").next()?.trim();
        Some(value.trim_matches(['"', '\'']).to_owned())
    };
    let is = text.lines().filter_map(value).next_back().or(made_of);
    match is {
        Some(is) if is == wanted => Ok(()),
        is => {
            let is = is.map_or_else(|| "does not say what it is for".to_owned(), |is| format!("is for {is}"));
            Err(CliError::Said {
                message: format!("{} {is}, and --environment says {wanted}", file.display()),
                hint: Some("move it away to have it made of another template".to_owned()),
            })
        }
    }
}

fn none(name: &str, templates: &[String], project: &Path) -> CliError {
    let folder = project.join(FOLDER);
    let hint = match templates {
        [] => format!("templates are files such as {}", folder.join(format!("{name}{ENDING}")).display()),
        _ => format!("{} has {}", folder.display(), templates.join(", ")),
    };
    CliError::Said { message: format!("there is no template for the environment {name}"), hint: Some(hint) }
}

fn read(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(CliError::io(&format!("read {}", path.display())))?;
    file.take(TEMPLATE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(CliError::io(&format!("read {}", path.display())))?;
    Ok(text)
}

/// What became of making `.env`.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Made,
    /// Somebody else had made one meanwhile.
    There,
}

/// Makes `.env` whole or not at all; one that is there stays.
fn keep(template: &Path, file: &Path, name: &str) -> Result<Kept, CliError> {
    let text = format!("{MADE_OF}{name}\n{}", read(template)?);
    let made = || -> io::Result<()> {
        let mut fresh = Beside::begin(file)?;
        fresh.write(text.as_bytes(), 0o600)?;
        fresh.put()
    };
    match made() {
        Ok(()) => Ok(Kept::Made),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Kept::There),
        Err(error) => Err(CliError::io(format!("write {}", file.display()))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_template_becomes_the_file_and_stays_it() {
        let directory = tempfile::tempdir().unwrap();
        let project = directory.path();
        fs::create_dir(project.join("env")).unwrap();
        for name in ["local", "production"] {
            fs::write(project.join(format!("env/{name}{ENDING}")), format!("ENVIRONMENT=\"{name}\" # x\n"))
                .unwrap();
        }
        fs::write(project.join("env/README"), "").unwrap();
        assert_eq!(templates(&project.join("env")), ["local", "production"]);
        assert!(templates(&project.join("none")).is_empty());

        let (template, file) = (project.join("env/local.env.example"), project.join(".env"));
        assert_eq!(keep(&template, &file, "local").unwrap(), Kept::Made);
        let other = project.join("env/production.env.example");
        assert_eq!(keep(&other, &file, "production").unwrap(), Kept::There);
        assert!(agree(&file, "local").is_ok());
        let error = agree(&file, "production").unwrap_err().to_string();
        assert!(error.contains("is for local"), "{error}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(project).unwrap().count(), 2, "nothing is left over");

        fs::remove_file(&file).unwrap();
        fs::write(&template, "A=1\n").unwrap();
        keep(&template, &file, "local").unwrap();
        assert!(agree(&file, "local").is_ok(), "a template need not name its environment");
    }
}
