//! Plans over sample projects, a table a rule.

use super::*;
use crate::sample;
use mesh_model::network::Network;

fn images(project: &Project) -> BTreeMap<String, Image> {
    project.services.keys().map(|name| (name.clone(), sample::image(name))).collect()
}

fn plan_of(project: &Project, options: &Options, observed: &Observed) -> Result<Plan, PlanError> {
    let mut next = 0;
    let mut random = || {
        next += 1;
        [next; 32]
    };
    plan(project, options, &images(project), observed, &mut random)
}

/// What is there after a plan was carried out.
fn carried_out(project: &Project, plan: &Plan, state: PresentState) -> Observed {
    let present = |spec: &ContainerSpec| Present {
        id: spec.id.clone(),
        name: spec.name.clone(),
        service: spec.service.name.clone(),
        index: spec.index,
        one_off: false,
        config_hash: spec.config_hash.clone(),
        state,
        networks: spec.resources.networks.values().map(|network| network.name.clone()).collect(),
        anonymous_volumes: spec.anonymous_volumes.clone(),
    };
    let containers = plan.containers.iter().map(|step| match step {
        Step::Create(spec) | Step::Recreate { new: spec, .. } => present(spec),
        Step::Start(old) | Step::Leave(old) => old.clone(),
    });
    Observed {
        containers: containers.collect(),
        networks: project.networks.values().map(|network| (network.name.clone(), there(network))).collect(),
        volumes: BTreeSet::new(),
    }
}

/// Gives the project a network, and `db` a place on it.
fn join(project: &mut Project) {
    project.networks.insert("default".into(), network());
    let joined = [("default".to_owned(), Default::default())];
    project.services.get_mut("db").unwrap().network.mode = NetworkMode::Networks(joined.into());
}

fn network() -> Network {
    Network {
        key: "default".into(),
        name: "p_default".into(),
        internal: false,
        external: false,
        ipam: vec![],
        driver: "bridge".into(),
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

/// A network as the ground made it.
fn there(network: &Network) -> PresentNetwork {
    let subnet =
        network.ipam.first().map_or_else(|| Subnet::parse("172.18.0.0/16").unwrap(), |pool| pool.subnet);
    PresentNetwork { subnet, gateway: subnet.nth(1).unwrap(), internal: network.internal }
}

/// A plan in one line.
fn words(plan: &Plan) -> String {
    let mut words: Vec<String> = plan.networks.iter().map(|key| format!("network {key}")).collect();
    words.extend(plan.outdated.iter().map(|key| format!("outdated {key}")));
    words.extend(plan.displaced.iter().map(|old| format!("displaced {}", old.name)));
    words.extend(plan.removals.iter().map(|old| format!("remove {}", old.name)));
    words.extend(plan.containers.iter().map(|step| match step {
        Step::Create(spec) => format!("create {}", spec.name),
        Step::Recreate { new, .. } => format!("recreate {}", new.name),
        Step::Start(old) => format!("start {}", old.name),
        Step::Leave(old) => format!("leave {}", old.name),
    }));
    words.extend(plan.orphans.iter().map(|old| format!("orphan {}", old.name)));
    words.join(", ")
}

fn up() -> (Project, Observed) {
    let project = sample::project(&[("web", &["db"]), ("db", &[]), ("job", &[])]);
    let plan = plan_of(&project, &Options::default(), &Observed::default()).unwrap();
    let observed = carried_out(&project, &plan, PresentState::Running);
    (project, observed)
}

fn check(project: &Project, options: Options, observed: &Observed, want: &str) {
    assert_eq!(words(&plan_of(project, &options, observed).unwrap()), want);
}

#[test]
fn from_nothing_all_is_made_in_order_and_again_is_nothing() {
    let (mut project, observed) = up();
    check(
        &project,
        Options::default(),
        &Observed::default(),
        "create p-db-1, create p-job-1, create p-web-1",
    );
    check(&project, Options::default(), &observed, "leave p-db-1, leave p-job-1, leave p-web-1");
    let first = plan_of(&project, &Options::default(), &Observed::default());
    assert_eq!(first, plan_of(&project, &Options::default(), &Observed::default()));

    join(&mut project);
    let want = "network default, recreate p-db-1, leave p-job-1, leave p-web-1";
    check(&project, Options::default(), &observed, want);
}

#[test]
fn only_what_changed_is_replaced() {
    let (mut project, observed) = up();
    project.services.get_mut("db").unwrap().environment.insert("A".into(), "b".into());
    let recreate = |recreate| Options { recreate, ..Options::default() };
    check(&project, recreate(Recreate::Changed), &observed, "recreate p-db-1, leave p-job-1, leave p-web-1");
    check(&project, recreate(Recreate::Never), &observed, "leave p-db-1, leave p-job-1, leave p-web-1");
    let forced = "recreate p-db-1, recreate p-job-1, recreate p-web-1";
    check(&project, recreate(Recreate::Force), &observed, forced);
    let (project, observed) = up();
    let web = Options { services: vec!["web".into()], ..recreate(Recreate::Force) };
    check(&project, web.clone(), &observed, "leave p-db-1, recreate p-web-1");
    let all = Options { always_recreate_deps: true, ..web.clone() };
    check(&project, all, &observed, "recreate p-db-1, recreate p-web-1");
    check(&project, Options { no_deps: true, ..web }, &observed, "recreate p-web-1");
}

#[test]
fn who_shares_a_network_stack_is_replaced_with_its_owner() {
    let (mut project, _) = up();
    project.services.get_mut("web").unwrap().network.mode = NetworkMode::Service("db".into());
    let plan = plan_of(&project, &Options::default(), &Observed::default()).unwrap();
    let observed = carried_out(&project, &plan, PresentState::Running);
    project.services.get_mut("db").unwrap().environment.insert("A".into(), "b".into());
    let want = "recreate p-db-1, leave p-job-1, recreate p-web-1";
    check(&project, Options::default(), &observed, want);
}

#[test]
fn numbers_go_up_and_down() {
    let (project, observed) = up();
    let scale = |count| Options {
        scale: [("job".to_owned(), count)].into(),
        services: vec!["job".into()],
        ..Options::default()
    };
    check(&project, scale(3), &observed, "leave p-job-1, create p-job-2, create p-job-3");
    let three =
        carried_out(&project, &plan_of(&project, &scale(3), &observed).unwrap(), PresentState::Running);
    check(&project, scale(1), &three, "remove p-job-2, remove p-job-3, leave p-job-1");
    check(&project, scale(0), &observed, "remove p-job-1");
    let too_many = plan_of(&project, &scale(SCALE_MAX + 1), &observed).unwrap_err();
    assert_eq!(too_many.to_string(), "service job cannot have 1001 containers, at most 1000");
    let mut fixed = project.clone();
    fixed.services.get_mut("job").unwrap().container_name = Some("one".into());
    assert!(matches!(plan_of(&fixed, &scale(2), &observed), Err(PlanError::FixedName { .. })));
    let unknown = Options { scale: [("x".to_owned(), 1)].into(), ..Options::default() };
    assert_eq!(plan_of(&project, &unknown, &observed).unwrap_err().to_string(), "no such service: x");
}

#[test]
fn what_stopped_is_started_and_what_completed_is_left() {
    let (mut project, mut observed) = up();
    for container in &mut observed.containers {
        container.state = PresentState::Completed;
    }
    let port = mesh_model::network::PortMapping {
        host_ip: None,
        published: mesh_model::network::Published::Any,
        target: 80,
        protocol: mesh_model::network::Protocol::Tcp,
    };
    project.services.get_mut("web").unwrap().network.ports.push(port);
    let hash = |project: &Project, name: &str| {
        let service = &project.services[name];
        hash::config_hash(service, &Resources::of(service, project), &sample::image(name))
    };
    for container in &mut observed.containers {
        container.config_hash = hash(&project, &container.service);
    }
    check(&project, Options::default(), &observed, "leave p-db-1, leave p-job-1, start p-web-1");
    for container in &mut observed.containers {
        container.state = PresentState::Down;
    }
    check(&project, Options::default(), &observed, "start p-db-1, start p-job-1, start p-web-1");
}

#[test]
fn orphans_are_told_or_removed_and_inactive_services_are_none() {
    let (mut project, observed) = up();
    project.services.remove("job");
    check(&project, Options::default(), &observed, "leave p-db-1, leave p-web-1, orphan p-job-1");
    let remove = Options { remove_orphans: true, ..Options::default() };
    check(&project, remove, &observed, "remove p-job-1, leave p-db-1, leave p-web-1");
    project.inactive.push("job".into());
    check(&project, Options::default(), &observed, "leave p-db-1, leave p-web-1");
}

#[test]
fn gates_hold_only_what_is_in_play() {
    let (project, observed) = up();
    let plan = plan_of(&project, &Options::default(), &observed).unwrap();
    assert_eq!(Vec::from_iter(plan.gates["web"].keys()), ["db"]);
    let alone = Options { services: vec!["web".into()], no_deps: true, ..Options::default() };
    assert!(plan_of(&project, &alone, &observed).unwrap().gates["web"].is_empty());
    let none = Options { scale: [("db".to_owned(), 0)].into(), ..Options::default() };
    assert!(plan_of(&project, &none, &observed).unwrap().gates["web"].is_empty());
}

#[test]
fn of_two_with_one_number_the_one_that_fits_stays() {
    let (project, mut observed) = up();
    let of_db = observed.containers.iter().find(|found| found.service == "db").unwrap().clone();
    let (id, config_hash) = (ContainerId("f".repeat(64)), "other".to_owned());
    observed.containers.push(Present { id: id.clone(), config_hash, ..of_db });
    for reversed in [false, true] {
        if reversed {
            observed.containers.reverse();
        }
        let plan = plan_of(&project, &Options::default(), &observed).unwrap();
        assert_eq!(words(&plan), "remove p-db-1, leave p-db-1, leave p-job-1, leave p-web-1");
        assert_eq!(plan.removals[0].id, id);
    }
}

#[test]
fn a_network_that_differs_is_made_anew_unless_nothing_may_be_replaced() {
    let (mut project, _) = up();
    join(&mut project);
    let plan = plan_of(&project, &Options::default(), &Observed::default()).unwrap();
    let mut observed = carried_out(&project, &plan, PresentState::Running);
    let mut on = |subnet: &str, internal: bool| {
        for there in observed.networks.values_mut() {
            there.subnet = Subnet::parse(subnet).unwrap();
            there.gateway = there.subnet.nth(1).unwrap();
            there.internal = internal;
        }
        observed.clone()
    };
    let outdated = |project: &Project, observed: &Observed, recreate| {
        let options = Options { recreate, ..Options::default() };
        plan_of(project, &options, observed).unwrap().outdated.len()
    };
    // What the file leaves open fits whatever is there.
    assert_eq!(outdated(&project, &on("10.1.0.0/24", false), Recreate::Changed), 0);
    assert_eq!(outdated(&project, &on("10.1.0.0/24", true), Recreate::Changed), 1);
    let pool = |gateway: Option<&str>| mesh_model::network::IpamPool {
        subnet: Subnet::parse("10.2.0.0/24").unwrap(),
        gateway: gateway.map(|text| text.parse().unwrap()),
        ip_range: None,
    };
    for (gateway, there, want) in [
        (None, "10.1.0.0/24", 1),
        (None, "10.2.0.0/24", 0),
        (Some("10.2.0.1"), "10.2.0.0/24", 0),
        (Some("10.2.0.9"), "10.2.0.0/24", 1),
    ] {
        for network in project.networks.values_mut() {
            network.ipam = vec![pool(gateway)];
        }
        assert_eq!(outdated(&project, &on(there, false), Recreate::Changed), want, "{gateway:?} {there}");
        assert_eq!(outdated(&project, &on(there, false), Recreate::Never), 0);
    }
}
