//! The values of generated secrets, from the file of secrets and the project's vault, before services are started with
//! them; and on their way into the vault afterwards.
//!
//! A value is made in the file, once it is known that the vault has none. It is moved into the vault when that is open:
//! at the end of `up`, of `mesh vault bootstrap` and of `mesh secrets set`. What the vault's own services are started
//! with stays in the file, and everything where the vault's storage goes with its containers. Where values are in a vault
//! that does not run, its services are started first, alone.

mod leaving;

pub(crate) use self::leaving::{bring_back, forget_gone};

use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    keeper::{Kept, Missing},
    loading::{self, Wanted},
    vault::{self, Open, ProjectVault, Shut},
};
use mesh_api::{
    options::{CreateOptions, UpOptions},
    request::Request,
    status::ContainerStatus,
};
use mesh_bootstrap::generated::{self, GeneratedError, Shelf};
use mesh_compose::{Loaded, generate::Keeper};
use mesh_model::project::Project;
use mesh_redact::Secret;
use mesh_store::{
    checkout, record,
    secrets::{At, Recipe, Secrets},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// What is to be done about a vault that does not run.
const START: &str = "`mesh up` starts the vault and opens it";

/// Loads the files again with the values that the file of secrets did not have: from the vault, or made.
pub(crate) async fn settle(
    context: &Context,
    drafted: Box<Loaded>,
    wanted: &Wanted,
    missing: BTreeMap<String, Missing>,
) -> Result<Box<Loaded>, CliError> {
    let project = &drafted.project;
    let secrets = Secrets::of(&context.home.data, &project.name);
    let vault = ProjectVault::of(project, &context.home.data);
    // A vault that was never opened with keys of ours has nothing of ours.
    let vault = match vault {
        Some(vault) if vault.kept()?.is_some() => Some(vault),
        _ => None,
    };
    let mut fetched = BTreeMap::new();
    if let Some(vault) = &vault {
        let start = vault.start(project);
        let needed = |missing: &Missing| start.needs(&missing.decoy);
        let (early, late): (BTreeMap<_, _>, BTreeMap<_, _>) =
            missing.clone().into_iter().partition(|(_, missing)| needed(missing));
        if !early.is_empty() {
            make_early(context, project, vault, &secrets, &early).await?;
        }
        if !late.is_empty() {
            // Of the rest nothing is started, so that anything may stand for a value.
            let again = with_values(context, wanted, Kept::looking(context.home.data.clone()))?;
            let target = context.target_of(*again);
            let containers = start_if_shut(context, &target, vault).await?;
            fetched = fetch(project, vault, &secrets, &containers, &recipes(&late), true)?;
        }
    }
    let known = secrets.read()?;
    let moved = |name: &&String| known.get(*name).is_some_and(|kept| kept.value().is_none());
    if let Some(name) = missing.keys().filter(|name| !fetched.contains_key(*name)).find(moved) {
        return Err(out_of_reach(name, known.get(name).map(|kept| &kept.at), project, &context.home.data));
    }
    let to_make = missing.iter().filter(|(name, _)| !fetched.contains_key(*name));
    secrets.ensure(&to_make.map(|(name, missing)| (name.clone(), missing.recipe.clone())).collect())?;
    with_values(context, wanted, Kept::whole(context.home.data.clone(), fetched))
}

fn with_values(context: &Context, wanted: &Wanted, keeper: Arc<dyn Keeper>) -> Result<Box<Loaded>, CliError> {
    let keeper = Some(keeper);
    // What there is to say of the files was said when they were read first.
    let wanted = Wanted { quiet: true, keeper, ..wanted.clone() };
    loading::load(&context.settings, &context.environment, &wanted)
}

fn recipes(missing: &BTreeMap<String, Missing>) -> BTreeMap<String, Option<Recipe>> {
    missing.iter().map(|(name, missing)| (name.clone(), Some(missing.recipe.clone()))).collect()
}

/// Of a value that is in a vault which is not among the files, or whose keys are not where they were.
fn out_of_reach(name: &str, at: Option<&At>, project: &Project, data: &Path) -> CliError {
    let path = match at {
        Some(At::Vault(path)) => path.as_str(),
        _ => "its path",
    };
    let (why, remedy) = match ProjectVault::of(project, data) {
        None => (
            "there is no vault with keys of this project".to_owned(),
            "is its service in a profile that was not named?",
        ),
        Some(vault) => (
            format!("its keys are not in {}", vault.keys.path().display()),
            "put its keys.json back there, from a copy.",
        ),
    };
    CliError::said(format!("the value of {name} is in the project's vault, at {path}, and {why}")).with_hint(
        format!(
            "{remedy} Where the vault is gone for good, `mesh secrets rm {name}` forgets the value, and `mesh up` \
             makes another one"
        ),
    )
}

/// Values that the vault's own services are started with are in the file: made there, or brought back while it runs.
async fn make_early(
    context: &Context,
    project: &Project,
    vault: &ProjectVault,
    secrets: &Secrets,
    early: &BTreeMap<String, Missing>,
) -> Result<(), CliError> {
    let known = secrets.read()?;
    let moved = |name: &String| known.get(name).is_some_and(|kept| kept.value().is_none());
    let moved: BTreeMap<String, Missing> =
        early.iter().filter(|(name, _)| moved(name)).map(|(name, it)| (name.clone(), it.clone())).collect();
    if let Some(first) = moved.keys().next() {
        let target = context.target()?;
        let containers = target.containers().await?;
        let values = fetch(project, vault, secrets, &containers, &recipes(&moved), false).map_err(|_| {
            CliError::said(format!(
                "the vault's services are now started with {first}, whose value is in the vault, which is not open"
            ))
            .with_hint("start it as it was before (`mesh start`), and then `mesh up` with the files as they are now")
        })?;
        for (name, value) in values {
            secrets.brought_back(&name, value)?;
        }
    }
    let recipes = early.iter().map(|(name, missing)| (name.clone(), missing.recipe.clone())).collect();
    secrets.ensure(&recipes)?;
    Ok(())
}

/// Starts the vault's services, and nothing else, unless the vault is open.
async fn start_if_shut(
    context: &Context,
    target: &Target,
    vault: &ProjectVault,
) -> Result<Vec<ContainerStatus>, CliError> {
    let there = target.containers().await?;
    match vault::apart(|| vault.open(&there).map(drop)) {
        Ok(()) => return Ok(there),
        Err(Shut::Failed(error)) => return Err(error),
        Err(Shut::Absent | Shut::Sealed) => {}
    }
    let services: Vec<String> = vault.services.iter().cloned().collect();
    context.refuse_unsupported(target, &services, true)?;
    console::err_line("note: the vault, which has generated secrets, is started before the rest");
    let project = target.required_project()?;
    let recorded = match record::load(&target.paths.record)? {
        record::Loaded::Found(found) if checkout::is_same(&found.project, &project) => Some(found.project),
        _ => None,
    };
    // Where the vault cannot be opened nothing else follows, and what was brought up before is still on record.
    let project = Box::new(match recorded {
        Some(recorded) => vault.over(&recorded, &project),
        None => vault.alone(&project),
    });
    let create = CreateOptions {
        services,
        ignore_orphans: true,
        substitute: context.settings.substitute,
        ports: context.settings.ports,
        take_over: context.settings.take_over,
        ..CreateOptions::default()
    };
    let client = target.supervise().await?;
    let options = UpOptions { create, wait: true, ..UpOptions::default() };
    context.ask(&client, Request::Up { project, options }).await?;
    containers(&client).await
}

/// Asks the vault for values; with `opens` it is opened where it is sealed.
fn fetch(
    project: &Project,
    vault: &ProjectVault,
    secrets: &Secrets,
    containers: &[ContainerStatus],
    names: &BTreeMap<String, Option<Recipe>>,
    opens: bool,
) -> Result<BTreeMap<String, Secret<String>>, CliError> {
    vault::apart(|| {
        let open = if opens { vault.unseal(containers) } else { vault.open(containers) };
        let open = open.map_err(shut)?;
        let shelf = shelf(&open, project);
        // Before the vault has an engine for them there can be none.
        if !shelf.is_there()? && names.keys().all(|name| !is_moved(secrets, name)) {
            return Ok(BTreeMap::new());
        }
        Ok(generated::fetch(&shelf, secrets, names)?)
    })
}

fn is_moved(secrets: &Secrets, name: &str) -> bool {
    secrets.read().is_ok_and(|known| known.get(name).is_some_and(|kept| kept.value().is_none()))
}

fn shelf<'a>(open: &'a Open, project: &'a Project) -> Shelf<'a> {
    Shelf { vault: &open.server, token: &open.token, project: &project.name }
}

/// Why a vault cannot be asked, for whoever needs it.
fn shut(shut: Shut) -> CliError {
    match shut {
        Shut::Absent => CliError::said("the project's vault does not run").with_hint(START),
        Shut::Sealed => CliError::said("the project's vault is sealed")
            .with_hint("`mesh vault unseal` opens it with the keys that are kept"),
        Shut::Failed(error) => error,
    }
}

/// Moves what the file has into the vault, where that is open and has an engine for it. What cannot be moved is told,
/// stays in the file, and is moved by a later command.
pub(crate) async fn move_in(context: &Context, target: &Target) {
    if let Err(error) = try_move_in(context, target).await {
        console::err_line(&format!(
            "warning: generated secrets stay in their file for now: {}",
            error.render(false).trim_start_matches("error: ")
        ));
    }
}

async fn try_move_in(context: &Context, target: &Target) -> Result<(), CliError> {
    let Some(project) = target.project.as_deref() else { return Ok(()) };
    let secrets = Secrets::of(&context.home.data, &project.name);
    let values = crate::keeper::in_file(&secrets)?;
    if values.is_empty() {
        return Ok(());
    }
    let Some((vault, containers)) = vault::of_target(context, target).await? else { return Ok(()) };
    if !vault.lasts(project) {
        return Ok(());
    }
    let start = vault.start(project);
    let stay: BTreeSet<String> =
        values.iter().filter(|(_, value)| start.needs(value)).map(|(name, _)| name.clone()).collect();
    if stay.len() == values.len() {
        return Ok(());
    }
    let moved = vault::apart(|| {
        let open = match vault.open(&containers) {
            Ok(open) => open,
            Err(Shut::Absent | Shut::Sealed) => return Ok(None),
            Err(Shut::Failed(error)) => return Err(error),
        };
        let shelf = shelf(&open, project);
        if !shelf.is_there()? {
            return Ok(None);
        }
        Ok::<_, CliError>(Some(generated::move_in(&shelf, &secrets, &stay)?))
    })?;
    for name in moved.iter().flat_map(|moved| &moved.differing) {
        console::err_line(&format!(
            "warning: {name} has another value in the vault, at secret/mesh/{}/{name}, than in its file: the file's is \
             the one in use; `mesh secrets set {name}` settles it",
            project.name
        ));
    }
    Ok(())
}

/// What has the values that the vault has, where it is open, for a rehearsal; `None`: there are none, or it is not.
pub(crate) async fn seen(context: &Context, target: &Target) -> Option<Arc<dyn Keeper>> {
    let project = target.project.as_deref()?;
    let secrets = Secrets::of(&context.home.data, &project.name);
    let moved = secrets.read().ok()?.into_iter().filter(|(_, kept)| kept.value().is_none());
    let names: BTreeMap<String, Option<Recipe>> = moved.map(|(name, kept)| (name, kept.recipe)).collect();
    if names.is_empty() {
        return None;
    }
    let (vault, containers) = vault::of_target(context, target).await.ok()??;
    let values = fetch(project, &vault, &secrets, &containers, &names, false).ok()?;
    Some(Kept::with(context.home.data.clone(), values))
}

/// A project's secrets, for the verbs about them.
pub(crate) struct Desk<'a> {
    context: &'a Context,
    target: &'a Target,
    project: &'a Project,
    pub(crate) secrets: Secrets,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(context: &'a Context, target: &'a Target) -> Result<Self, CliError> {
        let project = target.project.as_deref();
        let project = project.ok_or_else(|| CliError::said("there is no project"))?;
        Ok(Self { context, target, project, secrets: Secrets::of(&context.home.data, &project.name) })
    }

    /// The value of one; none where nobody has it.
    pub(crate) async fn value(
        &self,
        name: &str,
        recipe: Option<Recipe>,
    ) -> Result<Option<Secret<String>>, CliError> {
        let kept = self.secrets.read()?.remove(name);
        if let Some(value) = kept.as_ref().and_then(|kept| kept.value()) {
            return Ok(Some(value.clone()));
        }
        let names = BTreeMap::from([(name.to_owned(), recipe)]);
        let asked = self.at_vault(|shelf| generated::fetch(shelf, &self.secrets, &names)).await;
        match (asked, kept) {
            (Ok(Some(mut values)), _) => Ok(values.remove(name)),
            // Of one of which nothing is known the vault need not be asked.
            (Ok(None) | Err(_), None) => Ok(None),
            (Ok(None), Some(kept)) => Err(self.out_of_reach(name, Some(&kept.at))),
            (Err(error), Some(_)) => Err(in_vault(name, error)),
        }
    }

    /// Keeps another value where the one before is.
    pub(crate) async fn renew(&self, name: &str, value: generated::Renewed<'_>) -> Result<(), CliError> {
        if is_moved(&self.secrets, name) {
            let renewed = self.at_vault(|shelf| generated::renew(shelf, &self.secrets, name, value)).await;
            return match renewed {
                Ok(Some(())) => Ok(()),
                Ok(None) => Err(self.out_of_reach(name, self.secrets.read()?.get(name).map(|kept| &kept.at))),
                Err(error) => Err(in_vault(name, error)),
            };
        }
        match value {
            generated::Renewed::Given(value) => self.secrets.set(name, value.clone())?,
            generated::Renewed::Made(recipe) => self.secrets.rotate(name, Some(recipe))?,
        }
        // Whoever says what it is now means the vault's too, where that had another one.
        let value = self.secrets.read()?.get(name).and_then(|kept| kept.value().cloned());
        if let Some(value) = value {
            let _ = self
                .at_vault(|shelf| match shelf.is_there()? && shelf.read(name)?.is_some() {
                    true => shelf.replace(name, &value),
                    false => Ok(()),
                })
                .await;
        }
        move_in(self.context, self.target).await;
        Ok(())
    }

    /// Forgets one, wherever it is.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), CliError> {
        if !is_moved(&self.secrets, name) {
            return Ok(self.secrets.remove(name)?);
        }
        match self.at_vault(|shelf| generated::remove(shelf, &self.secrets, name)).await {
            Ok(Some(())) => Ok(()),
            // There is no vault any more that could have it.
            Ok(None) => Ok(self.secrets.remove(name)?),
            Err(error) => Err(in_vault(name, error)),
        }
    }

    fn out_of_reach(&self, name: &str, at: Option<&At>) -> CliError {
        out_of_reach(name, at, self.project, &self.context.home.data)
    }

    /// Asks the project's vault; `None`: there is none with keys of this project.
    async fn at_vault<T: Send>(
        &self,
        ask: impl FnOnce(&Shelf<'_>) -> Result<T, GeneratedError> + Send,
    ) -> Result<Option<T>, CliError> {
        let Some((vault, containers)) = vault::of_target(self.context, self.target).await? else {
            return Ok(None);
        };
        vault::apart(|| {
            let open = vault.open(&containers).map_err(shut)?;
            Ok(Some(ask(&shelf(&open, self.project))?))
        })
    }
}

/// Why a value that is in the vault cannot be had.
fn in_vault(name: &str, error: CliError) -> CliError {
    match error {
        CliError::Said { message, hint } => CliError::Said {
            message: format!("the value of {name} is in the project's vault: {message}"),
            hint,
        },
        error => error,
    }
}
