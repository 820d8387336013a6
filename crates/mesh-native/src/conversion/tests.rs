//! Tables for the whole conversion.

use super::*;
use crate::fixture;
use mesh_model::{
    image::ImageVolume,
    mount::{FileMount, Mount, MountSource},
    project::{FileSource, Volume},
};
use mesh_redact::Secret;

fn around(namespace: UserNamespace) -> Surroundings {
    Surroundings {
        directory: "/state/containers/x".into(),
        mounts: Vec::new(),
        cgroups: vec!["/sys/fs/cgroup/mesh/shop/abababababab".into()],
        network_namespace: Some("/proc/self/fd/9".into()),
        user_namespace: namespace,
        machine: "box".to_owned(),
        output: Output::Inherit,
    }
}

/// Changes the fixture, converts it, and asks `holds` of the result.
fn check(
    name: &str,
    namespace: UserNamespace,
    change: impl FnOnce(&mut ContainerSpec),
    holds: impl FnOnce(&RunSpecification) -> bool,
) {
    let mut spec = fixture::spec();
    change(&mut spec);
    let run = run(&spec, around(namespace)).expect("converts");
    assert!(holds(&run), "{name}: {run:?}");
}

#[test]
fn a_service_over_its_image() {
    use UserNamespace::{None as Root, Range, Sole};
    check(
        "defaults",
        Root,
        |_| {},
        |run| {
            run.process.arguments == ["serve"]
                && run.hostname == "abababababab"
                && run.shm_bytes == SHM_DEFAULT_BYTES
                && run.process.capabilities.len() == 14
                && run.process.seccomp
                && run.process.no_new_privileges
                && run.layers.len() == 2
                && !run.host_network
        },
    );
    check(
        "environment",
        Root,
        |spec| {
            spec.image.config.environment = [("A", "image"), ("B", "image")].map(owned).into();
            spec.service.environment = [("B", "service")].map(owned).into();
            spec.service.process.tty = true;
        },
        |run| {
            let want = [("A", "image"), ("B", "service"), ("TERM", "xterm")].map(owned).into();
            *run.process.environment.expose() == want
        },
    );
    check(
        "the image's user",
        Range,
        |spec| spec.image.config.user = "postgres".to_owned(),
        |run| run.process.user == "postgres",
    );
    check("the sole user", Sole, sole_user, |run| run.process.user == "postgres");
    check("no sole user elsewhere", Range, sole_user, |run| run.process.user.is_empty());
    check(
        "the service's user",
        Sole,
        |spec| {
            sole_user(spec);
            spec.service.process.user = Some("70:70".to_owned());
        },
        |run| run.process.user == "70:70",
    );
    check(
        "privileged",
        Root,
        |spec| spec.service.security.privileged = true,
        |run| run.process.capabilities.len() == 41 && !run.process.seccomp && !run.process.no_new_privileges,
    );
    check(
        "the host's network",
        Root,
        |spec| spec.service.network.mode = NetworkMode::Host,
        |run| run.host_network && run.hostname == "box",
    );
    check(
        "devices",
        Root,
        |spec| {
            spec.service.devices = ["/dev/a", "/dev/a:rw", "/dev/a:/dev/b:rwm"].map(str::to_owned).to_vec();
        },
        |run| {
            run.devices
                == [("/dev/a", "/dev/a"), ("/dev/a", "/dev/a"), ("/dev/a", "/dev/b")]
                    .map(|(a, b)| (a.into(), b.into()))
        },
    );
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn sole_user(spec: &mut ContainerSpec) {
    spec.image.config.sole_user = Some("postgres".to_owned());
}

#[test]
fn words_of_the_service_go_over_those_of_the_image() {
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    type Words<'a> = Option<&'a [&'a str]>;
    let cases: [(Words<'_>, Words<'_>, &str); 7] = [
        (None, None, "ie ic"),
        (None, Some(&["c"]), "ie c"),
        (Some(&["e"]), None, "e"),
        (Some(&["e"]), Some(&["c"]), "e c"),
        (Some(&[]), None, "ic"),
        (Some(&[]), Some(&["c"]), "c"),
        (None, Some(&[]), "ie ic"),
    ];
    for (entrypoint, command, want) in cases {
        let mut spec = fixture::spec();
        (spec.image.config.entrypoint, spec.image.config.command) = (text(&["ie"]), text(&["ic"]));
        spec.service.process.entrypoint = entrypoint.map(text);
        spec.service.process.command = command.map(text);
        let run = run(&spec, around(UserNamespace::None)).expect("converts");
        assert_eq!(run.process.arguments.join(" "), want, "{entrypoint:?} {command:?}");
    }
}

#[test]
fn what_cannot_be_had_is_refused() {
    type Change = fn(&mut ContainerSpec);
    let cases: [(Change, &str); 4] = [
        (|spec| spec.image.config.command.clear(), "could not execute"),
        (|spec| spec.service.sysctls = [("vm.swappiness", "1")].map(owned).into(), "sysctls: vm.swappiness"),
        (|spec| spec.service.devices = vec!["null".to_owned()], "devices: null"),
        (|spec| spec.service.security.cap_add = vec!["NOPE".to_owned()], "cap_add: NOPE"),
    ];
    for (change, want) in cases {
        let mut spec = fixture::spec();
        change(&mut spec);
        let error = run(&spec, around(UserNamespace::None)).expect_err("refused").to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn mounts_are_complete_and_sorted_by_depth() {
    let mut spec = fixture::spec();
    let mount = |target: &str, source| Mount { source, target: target.to_owned(), read_only: false };
    spec.service.mounts = vec![
        mount("/a/b/c", MountSource::Anonymous),
        mount("/a/./b/../b/", MountSource::Bind { path: "/srv".into(), create: true }),
        mount("/etc/hosts", MountSource::Bind { path: "/my/hosts".into(), create: false }),
        mount("/data", MountSource::Volume { key: "data".to_owned(), subpath: None, nocopy: false }),
    ];
    spec.image.config.volumes = ["/data", "/a"].map(|path| ImageVolume { path: path.to_owned() }).to_vec();
    spec.anonymous_volumes.insert("/a/./b/c".to_owned(), "given".to_owned());
    spec.resources.volumes.insert("data".to_owned(), volume());
    spec.service.secrets = vec![file("token")];
    spec.resources.secrets.insert("token".to_owned(), FileSource::Content(Secret::new("x".to_owned())));
    let planned = plan_mounts(&spec).expect("plans");
    let targets: Vec<&str> = planned.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(
        targets,
        [
            "/a",
            "/data",
            "/a/b",
            "/etc/hostname",
            "/etc/hosts",
            "/etc/resolv.conf",
            "/a/b/c",
            "/run/secrets/token"
        ]
    );
    assert_eq!(planned[0].source, PlannedSource::Anonymous { name: format!("{}-0", spec.id) });
    assert_eq!(planned[6].source, PlannedSource::Anonymous { name: "given".to_owned() });
    let want = PlannedSource::Volume { name: "shop_data".to_owned(), subpath: None, populate: true };
    assert_eq!(planned[1].source, want);
    assert!(planned[7].read_only);
    assert!(!format!("{planned:?}").contains("\"x\""), "the secret's content stays hidden");
}

fn file(source: &str) -> FileMount {
    FileMount {
        source: source.to_owned(),
        target: format!("/run/secrets/{source}"),
        uid: None,
        gid: None,
        mode: 0o444,
    }
}

fn volume() -> Volume {
    Volume {
        key: "data".to_owned(),
        name: "shop_data".to_owned(),
        external: false,
        driver: "local".to_owned(),
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

#[test]
fn what_a_mount_refers_to_must_be_there() {
    type Change = fn(&mut ContainerSpec);
    let cases: [(Change, &str); 4] = [
        (|spec| spec.service.secrets = vec![file("token")], "no such secret: token"),
        (
            |spec| {
                spec.service.secrets = vec![file("token")];
                let source = FileSource::External("vault-token".to_owned());
                spec.resources.secrets.insert("token".to_owned(), source);
            },
            "no such secret: vault-token",
        ),
        (
            |spec| {
                let source = MountSource::Anonymous;
                spec.service.mounts = vec![Mount { source, target: "data".to_owned(), read_only: false }];
            },
            "not absolute",
        ),
        (
            |spec| {
                let source = MountSource::Anonymous;
                spec.service.mounts = vec![Mount { source, target: "/..".to_owned(), read_only: false }];
            },
            "root itself",
        ),
    ];
    for (change, want) in cases {
        let mut spec = fixture::spec();
        change(&mut spec);
        let error = plan_mounts(&spec).expect_err("refused").to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn a_health_test_is_a_program_with_a_limit() {
    let spec = fixture::spec();
    let place = RunningPlace { pid: 7, cgroups: Vec::new(), user_namespace: UserNamespace::None };
    for (test, want) in [
        (HealthTest::Command(vec!["ping".to_owned()]), vec!["ping"]),
        (HealthTest::Shell("a && b".to_owned()), vec!["/bin/sh", "-c", "a && b"]),
    ] {
        let made = probe(&spec, place.clone(), &test, Duration::from_secs(2)).expect("converts");
        assert_eq!(made.process.arguments, want);
        assert_eq!(made.timeout_ms, Some(2000));
    }
}
