//! The host names that are routed here, told to the engine.
//!
//! They are those of all rules, also of containers that do not serve at the moment: a name is somebody's whether or not
//! he answers. The engine reads them from a file and lets containers find the gateway by them.

use crate::{
    config::{
        containers::{self, Container},
        statics::Docker,
    },
    rule::{HttpRule, TcpRule},
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Where names are told.
#[derive(Debug)]
pub(crate) struct Names {
    path: PathBuf,
    told: Option<BTreeSet<String>>,
}

impl Names {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, told: None }
    }

    /// Writes what has changed. What cannot be written is told once, and tried again when names change.
    pub(crate) fn tell(&mut self, names: BTreeSet<String>) {
        if self.told.as_ref() == Some(&names) {
            return;
        }
        if let Err(error) = write(&self.path, &names) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "containers do not learn which names are served here");
        }
        self.told = Some(names);
    }
}

/// The names of what containers ask for, as if all of them served.
pub(crate) fn of_containers(found: &[Container], options: &Docker) -> Vec<String> {
    let serving = |container: &Container| Container {
        status: String::new(),
        health: String::new(),
        ..container.clone()
    };
    let all: Vec<Container> = found.iter().map(serving).collect();
    // What is wrong with them is told where they are read to be served.
    let asked = containers::configuration(&all, options, &mut Vec::new());
    let hosts = asked.http.routers.values().flat_map(|router| HttpRule::names(&router.rule));
    let names = asked.tcp.routers.values().flat_map(|router| TcpRule::all_names(&router.rule));
    hosts.chain(names).collect()
}

fn write(path: &Path, names: &BTreeSet<String>) -> io::Result<()> {
    let text = serde_json::to_vec(names)?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_does_not_serve_are_known_too() {
        let container = |name: &str, status: &str, rule: &str| Container {
            id: name.to_owned(),
            name: name.to_owned(),
            status: status.to_owned(),
            labels: [(format!("traefik.http.routers.{name}.rule"), rule.to_owned())].into(),
            networks: [("edge".to_owned(), "10.0.0.2".to_owned())].into(),
            ports: [(80, None)].into(),
            ..Container::default()
        };
        let found = [
            container("a", "exited", "Host(`a.test`) && PathPrefix(`/x`)"),
            container("b", "running", "broken("),
            container("c", "running", "HostRegexp(`^[a-z]+\\.B\\.test$`)"),
        ];
        let options = Docker { exposed_by_default: true, ..Docker::default() };
        assert_eq!(of_containers(&found, &options), ["a.test", "*.b.test"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.json");
        let mut names = Names::new(path.clone());
        names.tell(BTreeSet::from(["b.test".to_owned(), "a.test".to_owned()]));
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"["a.test","b.test"]"#);
    }
}
