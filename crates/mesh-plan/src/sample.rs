//! Values for this crate's tests.

use mesh_model::{
    health::Healthcheck,
    image::{Image, ImageConfig, Source},
    project::Project,
    service::{Condition, Dependency, NetworkMode, NetworkSettings, RestartPolicy, Service},
};
use std::{collections::BTreeMap, time::Duration};

pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        image: Some(name.into()),
        build: false,
        pull_policy: Default::default(),
        platform: None,
        container_name: None,
        scale: 1,
        process: Default::default(),
        environment: BTreeMap::new(),
        environment_unset: Default::default(),
        labels: BTreeMap::new(),
        depends_on: BTreeMap::new(),
        healthcheck: Healthcheck::Image,
        restart: RestartPolicy::No,
        stop_signal: None,
        stop_grace_period: Duration::from_secs(10),
        network: NetworkSettings {
            mode: NetworkMode::None,
            hostname: None,
            domainname: None,
            ports: vec![],
            expose: Vec::new(),
            extra_hosts: vec![],
            dns: vec![],
            dns_search: vec![],
            dns_opt: vec![],
        },
        mounts: vec![],
        secrets: vec![],
        configs: vec![],
        security: Default::default(),
        limits: Default::default(),
        ulimits: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        devices: vec![],
        logging: Default::default(),
        substitute: None,
        when_no_source: Default::default(),
        dump: None,
        hooks: Default::default(),
        watch: Vec::new(),
        provider: None,
        certificates: Vec::new(),
        repeat: None,
    }
}

pub(crate) fn project(services: &[(&str, &[&str])]) -> Project {
    let dependency = Dependency { condition: Condition::ServiceStarted, required: true, restart: false };
    let services = services.iter().map(|(name, depends_on)| {
        let mut service = service(name);
        service.depends_on = depends_on.iter().map(|other| ((*other).to_owned(), dependency)).collect();
        ((*name).to_owned(), service)
    });
    Project {
        name: "p".into(),
        directory: "/p".into(),
        files: vec!["/p/compose.yaml".into()],
        services: services.collect(),
        inactive: vec![],
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        substitute: None,
        publishing: Default::default(),
        left_out: Default::default(),
    }
}

pub(crate) fn image(reference: &str) -> Image {
    Image {
        reference: reference.into(),
        digest: format!("sha256:{reference}"),
        source: Source::Oci,
        layers: vec![],
        config: ImageConfig::default(),
    }
}
