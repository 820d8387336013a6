//! The hash by which a container is known to be what the file asks for.

use mesh_model::{
    container::Resources,
    image::Image,
    service::{PullPolicy, Service},
};
use sha2::{Digest, Sha256};

/// Hash of everything a container is made from: the service, what it refers to, and the image's
/// content. How many there are of it, what it waits for, how its image is fetched, how its certificates are renewed
/// and whether it is run again do not change what a container is, so they are left out.
#[must_use]
pub fn config_hash(service: &Service, resources: &Resources, image: &Image) -> String {
    let mut hooks = service.hooks.clone();
    hooks.post_start.iter_mut().chain(&mut hooks.pre_stop).for_each(|hook| hook.place = None);
    let service = Service {
        hooks,
        scale: 1,
        depends_on: Default::default(),
        build: false,
        pull_policy: PullPolicy::Missing,
        substitute: None,
        when_no_source: Default::default(),
        dump: None,
        watch: Vec::new(),
        certificates: Vec::new(),
        repeat: None,
        ..service.clone()
    };
    // Maps are sorted and fields keep their order, so the text is canonical. It holds the values of
    // secrets and goes nowhere but into the hash.
    let text = serde_json::to_vec(&(&service, resources, &image.digest)).unwrap_or_default();
    hexadecimal(&Sha256::digest(&text))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn check(change: impl Fn(&mut Service, &mut Image), same: bool) {
        let (mut service, mut image) = (sample::service("db"), sample::image("db"));
        let resources = Resources::default();
        let before = config_hash(&service, &resources, &image);
        change(&mut service, &mut image);
        assert_eq!(config_hash(&service, &resources, &image) == before, same);
        assert_eq!(before.len(), 64);
    }

    #[test]
    fn only_what_makes_a_container_counts() {
        check(|_, _| {}, true);
        check(|service, _| service.scale = 5, true);
        check(|service, _| service.pull_policy = PullPolicy::Always, true);
        check(|_, image| image.reference = "other".into(), true);
        check(|_, image| image.digest = "sha256:other".into(), false);
        check(|service, _| drop(service.environment.insert("A".into(), "b".into())), false);
        check(|service, _| service.process.command = Some(vec![]), false);
    }
}
