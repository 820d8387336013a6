//! `trust`: the local authority in the stores of this machine and of browsers.
//!
//! What is to be done is found out first and told; then it is asked for, and done step by step. Each step may be taken
//! twice; one that fails keeps none of the others from being taken.

mod browsers;
mod programs;
mod system;

pub(crate) use programs::TrustError;

use super::stack::confirmed;
use crate::{console, context::Context, failure::CliError};
use browsers::Browsers;
use clap::Args;
use mesh_authority::{Adopted, Authorities, Root};
use std::path::{Path, PathBuf};
use system::System;

/// Arguments of `trust`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Take the authorities out of all stores again
    #[arg(long)]
    remove: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print the certificates, and do nothing
    #[arg(long, conflicts_with_all = ["remove", "yes"])]
    print: bool,
}

/// Most domains of an authority that are told; one for more is not trusted, since nobody reads what it may speak for.
const DOMAINS_SHOWN_MAX: usize = 200;

/// An authority as stores know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// Its name in lists.
    name: String,
    /// Which names it may speak for, in words.
    domains: String,
    /// A file with its certificate; stores that are folders have it by the same name.
    file: PathBuf,
}

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// In words, for whoever is asked.
    told: String,
    deed: Deed,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Deed {
    /// Files come to the machine's store and leave it, and its bundle is made anew.
    System { add: Vec<PathBuf>, remove: Vec<PathBuf> },
    /// An authority comes to a browser's store.
    BrowserAdd { store: PathBuf, authority: Known },
    /// It leaves one.
    BrowserRemove { store: PathBuf, name: String },
    /// Nothing by this command: it is said what to run or to install.
    Advice,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let authorities = Authorities::of(&context.home.data);
    let project = project(context);
    if arguments.print {
        for root in roots(&authorities, project.as_deref())? {
            console::out(&root.pem());
        }
        if let Some(vault) = of_vault(&authorities, project.as_deref())? {
            console::out(&vault.pem());
        }
        return Ok(0);
    }
    let (wanted, unwanted) = if arguments.remove {
        (Vec::new(), published(&authorities))
    } else {
        let mut wanted = known(&authorities, &roots(&authorities, project.as_deref())?)?;
        if let Some(vault) = of_vault(&authorities, project.as_deref())? {
            wanted.push(known_vault(&authorities, &vault)?);
        }
        let current: Result<Vec<PathBuf>, _> =
            authorities.all()?.iter().map(|root| authorities.publish(root)).collect();
        let mut current = current?;
        // Of other projects only those that somebody trusted before: they stay.
        let files: Vec<PathBuf> = authorities.all_published().into_iter().map(|(file, _)| file).collect();
        for vault in authorities.all_adopted() {
            let mark = vault.mark();
            current.extend(files.iter().filter(|file| file.to_string_lossy().contains(&mark)).cloned());
        }
        let old = published(&authorities).into_iter().filter(|one| !current.contains(&one.file)).collect();
        (wanted, old)
    };
    let home = context.environment.get("HOME").map(PathBuf::from);
    let system = System::find();
    let mut browsers = Browsers::find(home.as_deref());
    let mut steps =
        system.as_ref().map(|system| system.steps(&wanted, &unwanted)).unwrap_or_else(system::unknown);
    steps.extend(browsers.steps(&wanted, &unwanted));
    if steps.is_empty() {
        let state = if arguments.remove {
            "nothing is trusted that could be removed"
        } else {
            "all of it is trusted already"
        };
        console::err_line(state);
        return Ok(0);
    }
    for one in &wanted {
        console::err_line(&format!("{} may vouch for {}", one.name, one.domains));
    }
    console::err_line("This is to be done:");
    for step in &steps {
        console::err_line(&format!("  {}", step.told));
    }
    let mine = steps.iter().any(|step| step.deed != Deed::Advice);
    if context.settings.dry_run || !mine {
        return Ok(0);
    }
    if !arguments.yes && !confirmed("Go on?")? {
        return Err(CliError::said("nothing was changed").with_hint("`--yes` does it without asking"));
    }
    carry_out(&steps, system.as_ref(), &browsers)
}

fn carry_out(steps: &[Step], system: Option<&System>, browsers: &Browsers) -> Result<u8, CliError> {
    let mut failed = false;
    for step in steps {
        let done = match &step.deed {
            Deed::System { add, remove } => system.map_or(Ok(()), |system| system.change(add, remove)),
            Deed::BrowserAdd { store, authority } => browsers.add(store, authority),
            Deed::BrowserRemove { store, name } => browsers.remove(store, name),
            Deed::Advice => continue,
        };
        match done {
            Ok(()) => console::err_line(&format!(" Done: {}", step.told)),
            Err(error) => {
                failed = true;
                console::err_line(&CliError::from(error).render(false));
            }
        }
    }
    Ok(u8::from(failed))
}

/// The name of the project here, where there is one: the authority for everything local needs none.
fn project(context: &Context) -> Option<String> {
    context.target().ok().map(|target| target.name)
}

/// Those that are to be trusted: the one for everything local, and the project's own.
fn roots(authorities: &Authorities, project: Option<&str>) -> Result<Vec<Root>, CliError> {
    let mut roots = vec![authorities.local()?];
    if let Some(project) = project {
        roots.extend(authorities.of_project(project)?);
    }
    Ok(roots)
}

fn known(authorities: &Authorities, roots: &[Root]) -> Result<Vec<Known>, CliError> {
    let one = |root: &Root| {
        let file = authorities.publish(root)?;
        let domains = format!("these names and what is below them, {}", domains(&root.name(), root)?);
        Ok(Known { name: root.name(), domains, file })
    };
    roots.iter().map(one).collect()
}

/// The root of the project's vault, where that signs for its gateways.
fn of_vault(authorities: &Authorities, project: Option<&str>) -> Result<Option<Adopted>, CliError> {
    Ok(project.map(|project| authorities.adopted(project)).transpose()?.flatten())
}

fn known_vault(authorities: &Authorities, root: &Adopted) -> Result<Known, CliError> {
    let file = authorities.publish_adopted(root)?;
    let whose = format!("the root of the vault of {}, whose keys Mesh does not have", root.project());
    let domains = match root.domains() {
        None => format!("ALL NAMES THERE ARE: it is {whose}"),
        Some(domains) => {
            let names: Vec<String> = domains.into_iter().take(DOMAINS_SHOWN_MAX).collect();
            format!("these names and what is below them, {}: it is {whose}", names.join(", "))
        }
    };
    // Vaults of several stacks may have the same name for their roots.
    Ok(Known { name: format!("{} {}", root.name(), root.mark()), domains, file })
}

/// The names that an authority may speak for, with their number: those of the world first.
fn domains(name: &str, root: &Root) -> Result<String, CliError> {
    let outside = root.domains_outside();
    let local: Vec<&str> = root.domains().filter(|domain| !outside.contains(*domain)).collect();
    let outside: Vec<&str> = outside.iter().map(String::as_str).collect();
    if outside.len() + local.len() > DOMAINS_SHOWN_MAX {
        let said = format!(
            "{name} may vouch for {} names, and more than {DOMAINS_SHOWN_MAX} are not put into stores",
            outside.len() + local.len()
        );
        return Err(CliError::said(said).with_hint("`mesh trust --print` gives the certificates"));
    }
    let local = format!("{} local: {}", local.len(), local.join(", "));
    let told =
        (!outside.is_empty()).then(|| format!("{} of the world: {}", outside.len(), outside.join(", ")));
    Ok(told.into_iter().chain([local]).collect::<Vec<_>>().join("; "))
}

/// The name of a published authority in lists: those of vaults have the mark of their file with it.
fn name_in_stores(pem: &str, file: &Path) -> Option<String> {
    let name = mesh_authority::name_in(pem)?;
    let stem = file.file_stem()?.to_str()?;
    let mark = stem.rsplit('-').next()?;
    Some(if name.ends_with(mark) { name } else { format!("{name} {mark}") })
}

/// Everything that may have come to stores from here.
fn published(authorities: &Authorities) -> Vec<Known> {
    let all = authorities.all_published().into_iter();
    let known = |(file, pem): (PathBuf, String)| {
        Some(Known { name: name_in_stores(&pem, &file)?, domains: String::new(), file })
    };
    all.filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_names_are_told_those_of_the_world_first_and_too_many_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = |number: usize| {
            // Each of its own: a root that is younger than some minutes is not made anew for more names.
            let authorities = Authorities::of(&folder.path().join(number.to_string()));
            let names: BTreeSet<String> = (0..number).map(|at| format!("z{at:03}.example")).collect();
            authorities.root_for("shop", &names).expect("a root")
        };
        let told = domains("x", &root(60)).expect("told");
        assert!(
            told.starts_with("60 of the world: z000.example, ") && told.contains("z059.example;"),
            "{told}"
        );
        assert!(told.contains("; 6 local: ") && told.contains("localhost"), "{told}");
        let error = domains("x", &root(DOMAINS_SHOWN_MAX)).expect_err("too many");
        assert!(error.to_string().contains("206 names"), "{error}");
    }
}
