//! A specification to change in tests.

use mesh_model::{
    container::{ContainerId, ContainerSpec, Resources},
    health::Healthcheck,
    image::{Image, ImageConfig, Source},
    limits::Limits,
    network::Attachment,
    service::{
        Logging, NetworkMode, NetworkSettings, ProcessSettings, PullPolicy, RestartPolicy,
        STOP_GRACE_PERIOD_DEFAULT, Security, Service,
    },
};
use std::collections::BTreeMap;

/// Service `web` of project `shop`, on its default network, from a fake image.
pub(crate) fn spec() -> ContainerSpec {
    let service = Service {
        name: "web".to_owned(),
        image: Some("fake:1".to_owned()),
        build: false,
        pull_policy: PullPolicy::Missing,
        platform: None,
        container_name: None,
        scale: 1,
        process: ProcessSettings::default(),
        environment: BTreeMap::new(),
        environment_unset: Default::default(),
        labels: BTreeMap::new(),
        depends_on: BTreeMap::new(),
        healthcheck: Healthcheck::Image,
        restart: RestartPolicy::No,
        stop_signal: None,
        stop_grace_period: STOP_GRACE_PERIOD_DEFAULT,
        network: NetworkSettings {
            mode: NetworkMode::Networks(BTreeMap::from([("default".to_owned(), Attachment::default())])),
            hostname: None,
            domainname: None,
            ports: Vec::new(),
            expose: Vec::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_opt: Vec::new(),
        },
        mounts: Vec::new(),
        secrets: Vec::new(),
        configs: Vec::new(),
        security: Security { no_new_privileges: true, ..Security::default() },
        limits: Limits::default(),
        ulimits: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        devices: Vec::new(),
        logging: Logging::default(),
        substitute: None,
        when_no_source: Default::default(),
        dump: None,
        hooks: Default::default(),
        watch: Vec::new(),
        provider: None,
        certificates: Vec::new(),
        repeat: None,
    };
    ContainerSpec {
        anonymous_volumes: BTreeMap::new(),
        id: ContainerId("ab".repeat(32)),
        name: "shop-web-1".to_owned(),
        project: "shop".to_owned(),
        service,
        index: 1,
        one_off: false,
        image: Image {
            reference: "fake:1".to_owned(),
            digest: "sha256:0".to_owned(),
            source: Source::Oci,
            layers: vec!["/layers/base".into(), "/layers/top".into()],
            config: ImageConfig { command: vec!["serve".to_owned()], ..ImageConfig::default() },
        },
        config_hash: "0".to_owned(),
        resources: Resources::default(),
        labels: BTreeMap::new(),
    }
}
