//! Which verbs and flags of Docker Compose there are; `docs/commands.md` says how each compares.

use crate::arguments::CommandLine;
use clap::CommandFactory;

/// Verbs with their flags, as Docker Compose 5.2 lists them. A flag of one letter follows its long form.
const FLAGS: &str = "
up abort-on-container-exit abort-on-container-failure always-recreate-deps attach attach-dependencies build detach/d
 exit-code-from force-recreate menu no-attach no-build no-color no-deps no-log-prefix no-recreate no-start pull
 quiet-build quiet-pull remove-orphans renew-anon-volumes/V scale timeout/t timestamps wait wait-timeout watch/w yes/y
create build force-recreate no-build no-recreate pull quiet-pull remove-orphans scale yes/y
start wait wait-timeout
stop timeout/t
restart no-deps timeout/t
down remove-orphans rmi timeout/t volumes/v
rm force/f stop/s volumes/v
kill remove-orphans signal/s
pause
unpause
scale no-deps
run build cap-add cap-drop detach/d entrypoint env/e env-from-file interactive/i label/l name no-tty/T no-deps
 publish/p pull quiet/q quiet-build quiet-pull remove-orphans rm service-ports/P use-aliases user/u volume/v workdir/w
exec detach/d env/e index no-tty/T privileged user/u workdir/w
attach detach-keys index no-stdin sig-proxy
logs follow/f index no-color no-log-prefix since tail/n timestamps/t until
events json since until
ps all/a filter format no-trunc orphans quiet/q services status
ls all/a filter format quiet/q
images format quiet/q
volumes format quiet/q
top
stats all/a format no-stream no-trunc
port index protocol
cp all archive/a follow-link/L index
wait down-project
watch no-up prune quiet
pull ignore-buildable ignore-pull-failures include-deps policy quiet/q
config environment format hash images lock-image-digests models networks no-consistency no-env-resolution
 no-interpolate no-normalize no-path-resolution output/o profiles quiet/q resolve-image-digests services variables
 volumes
version format/f short
build
push
publish
commit
export
bridge
";

/// What is not there, as `VERB` or `VERB --flag`.
const MISSING: &[&str] = &[];

#[test]
fn every_verb_and_flag_of_docker_compose_is_known() {
    let definition = CommandLine::command();
    let mut missing = Vec::new();
    for line in FLAGS.trim().replace("\n ", " ").lines() {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let Some(command) = definition.find_subcommand(verb) else {
            missing.push(verb.to_owned());
            continue;
        };
        for flag in words {
            let (long, short) =
                flag.split_once('/').map_or((flag, None), |(long, short)| (long, short.chars().next()));
            let known = command.get_arguments().any(|argument| {
                let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
                let hidden = argument.get_all_aliases().unwrap_or_default();
                (longs.contains(&long) || hidden.contains(&long))
                    && short.is_none_or(|short| {
                        argument.get_short_and_visible_aliases().unwrap_or_default().contains(&short)
                    })
            });
            if !known {
                missing.push(format!("{verb} --{long}"));
            }
        }
    }
    assert_eq!(missing, MISSING);
}

#[test]
fn every_verb_takes_a_dry_run() {
    let definition = CommandLine::command();
    assert!(
        definition.get_arguments().any(|argument| argument.get_id() == "dry_run" && argument.is_global_set())
    );
}
