//! Services and projects for tests.

use mesh_model::{
    health::{HealthSettings, HealthTest, Healthcheck},
    network::Network,
    project::Project,
    service::{Condition, Dependency, NetworkMode, NetworkSettings, RestartPolicy, Service},
};
use std::{collections::BTreeMap, time::Duration};

/// A service that is an image and nothing else.
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
            mode: NetworkMode::Networks([("default".to_owned(), Default::default())].into()),
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

/// The same with a health check.
pub(crate) fn checked(name: &str) -> Service {
    let settings = HealthSettings {
        test: Some(HealthTest::Shell("check".into())),
        interval: Some(Duration::from_secs(2)),
        ..HealthSettings::default()
    };
    Service { healthcheck: Healthcheck::Set(settings), ..service(name) }
}

/// `service`, waiting for others.
pub(crate) fn waiting(mut service: Service, others: &[(&str, Condition)]) -> Service {
    for (other, condition) in others {
        let dependency = Dependency { condition: *condition, required: true, restart: false };
        service.depends_on.insert((*other).to_owned(), dependency);
    }
    service
}

/// A project of these services and one network.
pub(crate) fn project(services: Vec<Service>) -> Project {
    let network = Network {
        key: "default".into(),
        name: "p_default".into(),
        internal: false,
        external: false,
        ipam: vec![],
        driver: "bridge".into(),
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    Project {
        name: "p".into(),
        directory: "/p".into(),
        files: vec![],
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        inactive: vec![],
        networks: [("default".to_owned(), network)].into(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        substitute: None,
        publishing: Default::default(),
        left_out: Default::default(),
    }
}
