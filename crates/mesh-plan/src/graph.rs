//! Which service waits for which: selection, order of starting and of stopping.

use mesh_model::{
    project::{Project, WhenNoSource},
    service::{Condition, Dependency, NetworkMode, Service},
};
use std::collections::{BTreeMap, BTreeSet};

/// One line of the graph: `from` waits for `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The service that waits.
    pub from: String,
    /// The service it waits for.
    pub to: String,
    /// What must be true of it.
    pub condition: EdgeCondition,
    /// Whether it must be there.
    pub required: bool,
    /// Whether `from` is restarted when `to` is, by an explicit command.
    pub restart: bool,
}

/// [`Condition`] with an order, for sorted output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeCondition {
    /// It runs.
    Started,
    /// It is healthy.
    Healthy,
    /// It exited with 0.
    Completed,
}

/// Why services cannot be put in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There is no such service.
    #[error("no such service: {name}")]
    NoSuchService {
        /// The name asked for.
        name: String,
        /// It exists, but no chosen profile activates it.
        inactive: bool,
    },
    /// A service needs another one that is not there.
    #[error("service {service} depends on {dependency}, which is not active")]
    MissingDependency {
        /// The service.
        service: String,
        /// What it needs.
        dependency: String,
    },
    /// A service needs another one that was left out.
    #[error("service {service} depends on {dependency}, which is left out: {reason}")]
    LeftOutDependency {
        /// The service.
        service: String,
        /// What it needs.
        dependency: String,
        /// Why that is left out.
        reason: String,
    },
    /// Services wait for each other.
    #[error("services wait for each other: {}", cycle.join(" -> "))]
    Cycle {
        /// The way round, with the first one again at its end.
        cycle: Vec<String>,
    },
}

/// What a service waits for: its `depends_on`, and the service whose network stack it shares.
#[must_use]
pub fn dependencies(service: &Service) -> BTreeMap<String, Dependency> {
    let mut found = service.depends_on.clone();
    if let NetworkMode::Service(other) = &service.network.mode {
        let shares = Dependency { condition: Condition::ServiceStarted, required: true, restart: true };
        found.entry(other.clone()).or_insert(shares);
    }
    found
}

/// All edges of a project, sorted.
#[must_use]
pub fn edges(project: &Project) -> Vec<Edge> {
    let of = |service: &Service| {
        let from = service.name.clone();
        dependencies(service).into_iter().map(move |(to, dependency)| Edge {
            from: from.clone(),
            to,
            condition: match dependency.condition {
                Condition::ServiceStarted => EdgeCondition::Started,
                Condition::ServiceHealthy => EdgeCondition::Healthy,
                Condition::ServiceCompletedSuccessfully => EdgeCondition::Completed,
            },
            required: dependency.required,
            restart: dependency.restart,
        })
    };
    let mut edges: Vec<Edge> = project.services.values().flat_map(of).collect();
    edges.sort();
    edges
}

/// The services chosen (`names` empty: all), with what they depend on unless `no_deps`.
///
/// # Errors
/// For a name that is not there, and a required dependency that is not.
pub fn select(project: &Project, names: &[String], no_deps: bool) -> Result<BTreeSet<String>, GraphError> {
    for name in names {
        if !project.services.contains_key(name) {
            let inactive = project.inactive.contains(name);
            return Err(GraphError::NoSuchService { name: name.clone(), inactive });
        }
    }
    let mut todo: Vec<String> =
        if names.is_empty() { project.services.keys().cloned().collect() } else { names.to_vec() };
    let mut chosen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        let Some(service) = project.services.get(&name) else { continue };
        if !chosen.insert(name.clone()) || no_deps {
            continue;
        }
        for (other, dependency) in dependencies(service) {
            if project.services.contains_key(&other) {
                todo.push(other);
            } else if dependency.required {
                return Err(GraphError::MissingDependency { service: name, dependency: other });
            }
        }
    }
    Ok(chosen)
}

/// Takes services out of the project, each with the reason, and with them those that need them and may be left out
/// too. Those `named` were asked for, and may not. Afterwards they are inactive.
///
/// # Errors
/// When one of `chosen` that may not be left out needs one of them.
pub fn leave_out(
    project: &mut Project,
    missing: BTreeMap<String, String>,
    chosen: &BTreeSet<String>,
    named: &[String],
    no_deps: bool,
) -> Result<(), GraphError> {
    let mut left_out = missing;
    let mut todo: Vec<String> = if no_deps { Vec::new() } else { left_out.keys().cloned().collect() };
    while let Some(gone) = todo.pop() {
        for service in project.services.values().filter(|service| chosen.contains(&service.name)) {
            let needs = dependencies(service).get(&gone).is_some_and(|dependency| dependency.required);
            if !needs || left_out.contains_key(&service.name) {
                continue;
            }
            let name = service.name.clone();
            if service.when_no_source != WhenNoSource::Skip || named.contains(&name) {
                let reason = left_out.remove(&gone).unwrap_or_default();
                return Err(GraphError::LeftOutDependency { service: name, dependency: gone, reason });
            }
            left_out.insert(name.clone(), format!("it needs {gone}"));
            todo.push(name);
        }
    }
    project.services.retain(|name, _| !left_out.contains_key(name));
    project.inactive.extend(left_out.keys().cloned());
    project.left_out = left_out;
    Ok(())
}

/// Services in levels: those of one level wait only for those of earlier ones. Reversed, it is the
/// order of stopping, dependents first.
///
/// # Errors
/// When services wait for each other.
pub fn levels(project: &Project, chosen: &BTreeSet<String>) -> Result<Vec<Vec<String>>, GraphError> {
    let mut left: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, service) in &project.services {
        if chosen.contains(name) {
            let waits = dependencies(service).into_keys().filter(|other| chosen.contains(other)).collect();
            left.insert(name, waits);
        }
    }
    let mut levels = Vec::new();
    while !left.is_empty() {
        let ready: Vec<String> =
            left.iter().filter(|(_, waits)| waits.is_empty()).map(|(name, _)| (*name).to_owned()).collect();
        if ready.is_empty() {
            return Err(GraphError::Cycle { cycle: cycle(&left) });
        }
        for name in &ready {
            left.remove(name.as_str());
        }
        for waits in left.values_mut() {
            waits.retain(|other| !ready.contains(other));
        }
        levels.push(ready);
    }
    Ok(levels)
}

/// The services that wait for `name`, directly or through others, sorted.
#[must_use]
pub fn dependents(project: &Project, name: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![name.to_owned()];
    while let Some(name) = todo.pop() {
        for service in project.services.values() {
            if dependencies(service).contains_key(&name) && found.insert(service.name.clone()) {
                todo.push(service.name.clone());
            }
        }
    }
    found.remove(name);
    found.into_iter().collect()
}

/// A way round among services of which each waits for another one of them.
fn cycle(left: &BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    let mut way: Vec<String> = left.keys().take(1).map(|name| (*name).to_owned()).collect();
    while let Some(next) = way.last().and_then(|last| left.get(last.as_str())?.first().cloned()) {
        if let Some(start) = way.iter().position(|name| *name == next) {
            way.push(next);
            return way.split_off(start);
        }
        way.push(next);
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn services_bring_their_dependencies_along() {
        let project = sample::project(&[("a", &["b"]), ("b", &["c"]), ("c", &[]), ("d", &[])]);
        for (chosen, no_deps, want) in [
            (names(&[]), false, "a b c d"),
            (names(&["a"]), false, "a b c"),
            (names(&["a"]), true, "a"),
            (names(&["b", "d"]), false, "b c d"),
        ] {
            let found = select(&project, &chosen, no_deps).unwrap();
            assert_eq!(Vec::from_iter(found).join(" "), want);
        }
        let missing = select(&project, &names(&["x"]), false).unwrap_err();
        assert_eq!(missing.to_string(), "no such service: x");
        let project = sample::project(&[("a", &["gone"])]);
        let missing = select(&project, &[], false).unwrap_err();
        assert_eq!(missing.to_string(), "service a depends on gone, which is not active");
    }

    #[test]
    fn levels_respect_dependencies_and_cycles_are_told() {
        let project =
            sample::project(&[("a", &["b", "d"]), ("b", &["c"]), ("c", &[]), ("d", &["c"]), ("e", &[])]);
        let chosen = select(&project, &[], false).unwrap();
        let want = vec![names(&["c", "e"]), names(&["b", "d"]), names(&["a"])];
        assert_eq!(levels(&project, &chosen).unwrap(), want);
        assert_eq!(dependents(&project, "c"), names(&["a", "b", "d"]));
        assert_eq!(edges(&project).len(), 4);
        let project = sample::project(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])]);
        let chosen = select(&project, &[], false).unwrap();
        let error = levels(&project, &chosen).unwrap_err();
        assert_eq!(error.to_string(), "services wait for each other: b -> c -> b");
    }

    #[test]
    fn what_has_no_source_goes_with_those_that_need_it_and_may_go() {
        let check = |skip: &[&str], named: &[&str], no_deps: bool, want: Result<&str, &str>| {
            let mut project = sample::project(&[("a", &["b"]), ("b", &["c"]), ("c", &[]), ("d", &[])]);
            for name in skip {
                project.services.get_mut(*name).unwrap().when_no_source = WhenNoSource::Skip;
            }
            let missing = BTreeMap::from([("c".to_owned(), "no source".to_owned())]);
            let chosen = select(&project, &[], false).unwrap();
            let done = leave_out(&mut project, missing, &chosen, &names(named), no_deps);
            let left = done.map(|()| Vec::from_iter(project.services.into_keys()).join(" "));
            match left {
                Ok(left) => {
                    assert_eq!(Ok(left.as_str()), want);
                    assert_eq!(Vec::from_iter(project.left_out.into_keys()), project.inactive);
                }
                Err(error) => assert_eq!(Err(error.to_string().as_str()), want),
            }
        };
        check(&["a", "b", "c"], &[], false, Ok("d"));
        check(&["c"], &[], true, Ok("a b d"));
        check(&["c"], &[], false, Err("service b depends on c, which is left out: no source"));
        check(&["b", "c"], &[], false, Err("service a depends on b, which is left out: it needs c"));
        check(&["a", "b", "c"], &["b"], false, Err("service b depends on c, which is left out: no source"));
    }

    #[test]
    fn sharing_a_network_stack_is_a_dependency() {
        let mut project = sample::project(&[("a", &[]), ("b", &[])]);
        let a = project.services.get_mut("a").unwrap();
        a.network.mode = NetworkMode::Service("b".into());
        assert_eq!(dependents(&project, "b"), ["a"]);
    }
}
