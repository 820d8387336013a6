//! `x-mesh.certificate`: what a service's containers hold that expires.

mod support;

use mesh_model::certificate::{Certificate, Reload};
use std::time::Duration;
use support::service;

fn certificates(text: &str) -> Vec<Certificate> {
    let given = service(&format!("x-mesh:\n  certificate: {text}"));
    given.loaded().project.services.remove("a").expect("a service").certificates
}

#[test]
fn one_or_several_are_declared() {
    let one = certificates(
        "{file: /run/tls/a.crt, renew: [sh, /renew.sh], reload: {signal: hup}, before: 30d, user: root}",
    );
    let want = Certificate {
        file: "/run/tls/a.crt".into(),
        renew: Some(vec!["sh".into(), "/renew.sh".into()]),
        reload: Some(Reload::Signal(1)),
        before: Some(Duration::from_secs(30 * 86_400)),
        user: Some("root".into()),
    };
    assert_eq!(one, [want]);
    let two = certificates("[{file: /a, renew: [x], reload: {command: [nginx, -s, reload]}}, {file: /b}]");
    let reload = Reload::Command(vec!["nginx".into(), "-s".into(), "reload".into()]);
    assert_eq!(two[0].reload, Some(reload));
    assert_eq!((two[1].file.as_str(), &two[1].renew, two[1].before), ("/b", &None, None));
}

#[test]
fn what_makes_no_sense_is_told() {
    for (text, want) in [
        ("{renew: [x]}", "needs a `file`"),
        ("{file: a.crt}", "must be a path from the container's root"),
        ("{file: /a, renew: x}", "must be a list"),
        ("{file: /a, renew: []}", "`renew` of a certificate has no command"),
        ("{file: /a, renew: [x], reload: {signal: SIGNONE}}", "must be a signal"),
        ("{file: /a, renew: [x], reload: {}}", "has neither of `signal` and `command`"),
        ("{file: /a, renew: [x], reload: {signal: HUP, command: [y]}}", "has both of"),
        ("{file: /a, reload: {signal: HUP}}", "is never renewed, so nothing is reloaded"),
        ("{file: /a, before: soon}", "must be a duration"),
        ("{file: /a, before: 0s}", "leaves no time"),
        ("[{file: /a}, {file: /a}]", "certificate /a is there twice"),
        ("{file: /a, key: /b}", "key"),
    ] {
        let errors = service(&format!("x-mesh:\n  certificate: {text}")).errors();
        assert!(errors.contains(want), "{text}:\n{errors}");
    }
}
