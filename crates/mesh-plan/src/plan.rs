//! The plan: what is to be made, replaced, removed and started so that the ground becomes what the
//! file asks for.

use crate::{
    graph::{self, GraphError},
    hash, naming,
};
use mesh_model::{
    container::{ContainerId, ContainerSpec, Resources},
    image::Image,
    network::{Network, Subnet},
    project::Project,
    service::{Condition, Dependency, NetworkMode, Service},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Most containers of one service.
pub const SCALE_MAX: u32 = 1000;

/// What a command asks for beyond the project itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Services; empty: all active ones.
    pub services: Vec<String>,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// What to do with containers that are there.
    pub recreate: Recreate,
    /// Give new containers anonymous volumes of their own, not those of the ones they replace.
    pub renew_anonymous_volumes: bool,
    /// Replace dependencies too, when all are to be replaced.
    pub always_recreate_deps: bool,
    /// Remove containers of services the file no longer has.
    pub remove_orphans: bool,
    /// Services whose containers run again although they completed.
    pub rerun: Vec<String>,
    /// Number of containers by service, over the file's.
    pub scale: BTreeMap<String, u32>,
}

/// What to do with containers that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recreate {
    /// Replace those whose configuration changed.
    #[default]
    Changed,
    /// Replace those of the chosen services.
    Force,
    /// Replace none.
    Never,
}

/// A container that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Identity.
    pub id: ContainerId,
    /// Name.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Number among the service's containers.
    pub index: u32,
    /// Made by `run`.
    pub one_off: bool,
    /// Hash of the configuration it was made from.
    pub config_hash: String,
    /// Whether it runs.
    pub state: PresentState,
    /// Names of the networks it joins.
    pub networks: BTreeSet<String>,
    /// Names of its anonymous volumes, by path.
    pub anonymous_volumes: BTreeMap<String, String>,
}

/// A network that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentNetwork {
    /// Its subnet.
    pub subnet: Subnet,
    /// Its gateway.
    pub gateway: IpAddr,
    /// No way out.
    pub internal: bool,
}

/// Whether a container runs, as far as planning needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresentState {
    /// It runs, or will again by its restart policy.
    Running,
    /// It exited with 0 and no command asked for that.
    Completed,
    /// Anything else that does not run.
    Down,
}

/// What is there of the project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Containers.
    pub containers: Vec<Present>,
    /// Networks, by name.
    pub networks: BTreeMap<String, PresentNetwork>,
    /// Volumes, by name.
    pub volumes: BTreeSet<String>,
}

/// What is to be done, in the order of doing: networks, volumes, new containers, removals, starts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Networks to make, by key.
    pub networks: Vec<String>,
    /// Networks that are there and not as the file has them, by key: to be made anew once no container
    /// is on them.
    pub outdated: Vec<String>,
    /// Containers of other services on those networks: to be ended before and started after.
    pub displaced: Vec<Present>,
    /// Volumes to make, by key.
    pub volumes: Vec<String>,
    /// Containers to end and remove because there are too many, or their service is gone.
    pub removals: Vec<Present>,
    /// Containers of the chosen services, in order of starting.
    pub containers: Vec<Step>,
    /// Containers of services the file no longer has, that stay.
    pub orphans: Vec<Present>,
    /// What each chosen service waits for among the services that are in play.
    pub gates: BTreeMap<String, BTreeMap<String, Dependency>>,
    /// Number of containers of each chosen service.
    pub targets: BTreeMap<String, u32>,
}

/// What is done to one container.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make it, then start it.
    Create(Box<ContainerSpec>),
    /// End and remove the one that is there, make a new one, start it.
    Recreate {
        /// The one that is there.
        old: Present,
        /// The new one.
        new: Box<ContainerSpec>,
    },
    /// Start the one that is there.
    Start(Present),
    /// It is as it should be.
    Leave(Present),
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The services themselves.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Several containers cannot share one name.
    #[error("service {service} has a fixed container_name and cannot have {scale} containers")]
    FixedName {
        /// The service.
        service: String,
        /// Number asked for.
        scale: u32,
    },
    /// More than anybody means.
    #[error("service {service} cannot have {scale} containers, at most {SCALE_MAX}")]
    TooMany {
        /// The service.
        service: String,
        /// Number asked for.
        scale: u32,
    },
    /// No image was resolved for it.
    #[error("service {service} has no image")]
    NoImage {
        /// The service.
        service: String,
    },
}

/// Makes the plan. `images` holds the resolved image of every chosen service, by service; `random`
/// gives the bytes of new identities.
///
/// # Errors
/// When the services cannot be put in order, counted or made.
pub fn plan(
    project: &Project,
    options: &Options,
    images: &BTreeMap<String, Image>,
    observed: &Observed,
    random: &mut dyn FnMut() -> [u8; 32],
) -> Result<Plan, PlanError> {
    if let Some(name) = options.scale.keys().find(|name| !project.services.contains_key(*name)) {
        let inactive = project.inactive.contains(name);
        return Err(GraphError::NoSuchService { name: name.clone(), inactive }.into());
    }
    let chosen = graph::select(project, &options.services, options.no_deps)?;
    let order = graph::levels(project, &chosen)?;
    let mut plan = Plan { gates: gates(project, &chosen), ..Plan::default() };
    let mut replaced = BTreeSet::new();
    for name in order.into_iter().flatten() {
        let service = &project.services[&name];
        let image = images.get(&name).ok_or_else(|| PlanError::NoImage { service: name.clone() })?;
        let work = ServicePlan { project, options, service, image };
        let scale = work.scale()?;
        work.steps(scale, observed, &mut replaced, random, &mut plan);
        plan.targets.insert(name, scale);
    }
    // Of a service that shall have no container nobody can wait.
    let targets = &plan.targets;
    plan.gates.values_mut().for_each(|gates| gates.retain(|other, _| targets.get(other) != Some(&0)));
    plan_resources(project, &chosen, observed, &mut plan);
    plan_outdated(project, &chosen, options, observed, &mut plan);
    let known = |name: &String| project.services.contains_key(name) || project.inactive.contains(name);
    let orphans = observed.containers.iter().filter(|present| !present.one_off && !known(&present.service));
    if options.remove_orphans {
        plan.removals.extend(orphans.cloned());
    } else {
        plan.orphans.extend(orphans.cloned());
    }
    Ok(plan)
}

/// One service's part of the plan.
struct ServicePlan<'a> {
    project: &'a Project,
    options: &'a Options,
    service: &'a Service,
    image: &'a Image,
}

impl ServicePlan<'_> {
    fn scale(&self) -> Result<u32, PlanError> {
        let name = &self.service.name;
        let scale = self.options.scale.get(name).copied().unwrap_or(self.service.scale);
        if scale > SCALE_MAX {
            return Err(PlanError::TooMany { service: name.clone(), scale });
        }
        if scale > 1 && self.service.container_name.is_some() {
            return Err(PlanError::FixedName { service: name.clone(), scale });
        }
        Ok(scale)
    }

    fn steps(
        &self,
        scale: u32,
        observed: &Observed,
        replaced: &mut BTreeSet<String>,
        random: &mut dyn FnMut() -> [u8; 32],
        plan: &mut Plan,
    ) {
        let name = &self.service.name;
        let resources = Resources::of(self.service, self.project);
        let hashed = |service: Service| (hash::config_hash(&service, &resources, self.image), service);
        let first = hashed(self.service.clone());
        let further = self.further().map(hashed);
        let variant = |index: u32| further.as_ref().filter(|_| index > 1).unwrap_or(&first);
        let mut present: BTreeMap<u32, &Present> = BTreeMap::new();
        for container in &observed.containers {
            if container.service != *name || container.one_off {
                continue;
            }
            if container.index == 0 || container.index > scale {
                plan.removals.push(container.clone());
                continue;
            }
            // A replacement that was cut off leaves two of one number: the one that fits stays.
            let (hash, _) = variant(container.index);
            let worth = |found: &Present| (found.config_hash == *hash, found.state == PresentState::Running);
            let known = present.insert(container.index, container);
            if let Some(known) = known {
                let (kept, other) =
                    if worth(known) > worth(container) { (known, container) } else { (container, known) };
                present.insert(container.index, kept);
                plan.removals.push(other.clone());
            }
        }
        let shares_replaced = matches!(&self.service.network.mode,
            NetworkMode::Service(other) if replaced.contains(other));
        for index in 1..=scale {
            let old = present.get(&index).copied();
            let (hash, service) = variant(index);
            let mut make = || Box::new(self.spec(service, index, hash, &resources, old, random));
            let step = match old {
                None => Step::Create(make()),
                Some(old) if shares_replaced || self.replaces(old, hash) => {
                    replaced.insert(name.clone());
                    Step::Recreate { old: old.clone(), new: make() }
                }
                Some(old) => match old.state {
                    PresentState::Running => Step::Leave(old.clone()),
                    PresentState::Completed if self.is_job() && !self.options.rerun.contains(name) => {
                        Step::Leave(old.clone())
                    }
                    PresentState::Completed | PresentState::Down => Step::Start(old.clone()),
                },
            };
            plan.containers.push(step);
        }
    }

    /// The service as its second container and those after it are made, where that is not as the first is: they
    /// cannot publish on the same ports.
    fn further(&self) -> Option<Service> {
        let published = self.project.publishing.further.get(&self.service.name)?;
        let mut service = self.service.clone();
        for (mapping, published) in service.network.ports.iter_mut().zip(published) {
            mapping.published = *published;
        }
        Some(service)
    }

    fn replaces(&self, old: &Present, hash: &str) -> bool {
        let named = self.options.services.is_empty() || self.options.services.contains(&self.service.name);
        match self.options.recreate {
            Recreate::Never => false,
            Recreate::Force if named || self.options.always_recreate_deps => true,
            Recreate::Force | Recreate::Changed => {
                old.config_hash != hash || (self.options.always_recreate_deps && !named)
            }
        }
    }

    /// Whether it is meant to end: somebody waits for its end, or it has neither a port nor a check
    /// by which anybody could use it.
    fn is_job(&self) -> bool {
        let awaited = self.project.services.values().any(|other| {
            other
                .depends_on
                .get(&self.service.name)
                .is_some_and(|dependency| dependency.condition == Condition::ServiceCompletedSuccessfully)
        });
        let probed = self.service.healthcheck.resolve(self.image.config.health.as_ref()).is_some();
        awaited || (!probed && self.service.network.ports.is_empty())
    }

    fn spec(
        &self,
        service: &Service,
        index: u32,
        hash: &str,
        resources: &Resources,
        old: Option<&Present>,
        random: &mut dyn FnMut() -> [u8; 32],
    ) -> ContainerSpec {
        let project = self.project;
        let inherited = |path: &String| {
            let old = old.filter(|_| !self.options.renew_anonymous_volumes)?;
            old.anonymous_volumes.get(path).cloned()
        };
        let mut labels = naming::labels(project, service, index, false, hash, &self.image.digest);
        if let Some(old) = old {
            labels.insert("com.docker.compose.replace".to_owned(), old.name.clone());
        }
        ContainerSpec {
            id: naming::container_id(random()),
            name: naming::container_name(&project.name, service, index),
            project: project.name.clone(),
            service: service.clone(),
            index,
            one_off: false,
            image: self.image.clone(),
            config_hash: hash.to_owned(),
            resources: resources.clone(),
            labels,
            anonymous_volumes: naming::anonymous_volumes(service, self.image, inherited, random),
        }
    }
}

/// What each chosen service waits for; with dependencies left alone, only for chosen ones.
fn gates(project: &Project, chosen: &BTreeSet<String>) -> BTreeMap<String, BTreeMap<String, Dependency>> {
    let of = |name: &String| {
        let mut waits = graph::dependencies(&project.services[name]);
        waits.retain(|other, _| chosen.contains(other));
        (name.clone(), waits)
    };
    chosen.iter().map(of).collect()
}

fn plan_resources(project: &Project, chosen: &BTreeSet<String>, observed: &Observed, plan: &mut Plan) {
    let (mut networks, mut volumes) = (BTreeSet::new(), BTreeSet::new());
    for name in chosen {
        let resources = Resources::of(&project.services[name], project);
        networks.extend(resources.networks.into_values().map(|network| (network.key, network.name)));
        volumes.extend(resources.volumes.into_values().map(|volume| (volume.key, volume.name)));
    }
    let missing = |wanted: BTreeSet<(String, String)>, there: &dyn Fn(&String) -> bool| {
        wanted.into_iter().filter(|(_, name)| !there(name)).map(|(key, _)| key).collect()
    };
    plan.networks = missing(networks, &|name| observed.networks.contains_key(name));
    plan.volumes = missing(volumes, &|name| observed.volumes.contains(name));
}

/// Networks whose addresses changed in the file, and who is on them. Where nothing may be replaced
/// they stay as they are.
fn plan_outdated(
    project: &Project,
    chosen: &BTreeSet<String>,
    options: &Options,
    observed: &Observed,
    plan: &mut Plan,
) {
    if options.recreate == Recreate::Never {
        return;
    }
    let mut names = BTreeSet::new();
    for name in chosen {
        for network in Resources::of(&project.services[name], project).networks.into_values() {
            let differs = observed.networks.get(&network.name).is_some_and(|there| differs(&network, there));
            if differs && !network.external && names.insert(network.name.clone()) {
                plan.outdated.push(network.key);
            }
        }
    }
    let on_them = |present: &&Present| {
        !present.one_off && !chosen.contains(&present.service) && !present.networks.is_disjoint(&names)
    };
    plan.displaced = observed.containers.iter().filter(on_them).cloned().collect();
}

/// Whether a network is there otherwise than the file has it. What the file leaves open is as it is.
fn differs(network: &Network, there: &PresentNetwork) -> bool {
    let pool = network.ipam.iter().find(|pool| pool.subnet.address.is_ipv4());
    let moved = pool.is_some_and(|pool| {
        let gateway = pool.gateway.or_else(|| pool.subnet.nth(1));
        pool.subnet != there.subnet || gateway.is_some_and(|gateway| gateway != there.gateway)
    });
    moved || network.internal != there.internal
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
