//! Commands of Docker Compose, run by it and by Mesh on the same files, and compared: the exit code, standard
//! output, and where both refuse the reason.
//!
//! It runs where `MESH_PEER` names a `docker-compose` binary and `MESH_PEER_HOST` an engine
//! (`unix:///run/docker.sock`) that has the images of the scenarios (`busybox` and `alpine`; a folder of further
//! scenarios or Compose files is named by `MESH_PEER_SUITE`). It prints a line a command; it compares, it does
//! not judge. `docs/commands.md` says what it found.

#![allow(clippy::print_stdout, reason = "what it finds is what it is for")]

mod harness;
#[path = "peer/normal.rs"]
mod normal;
#[path = "peer/scenario.rs"]
mod scenario;

use harness::{Outcome, Stack, finish, is_root};
use normal::{Words, normal, reason};
use scenario::{Scenario, Step};
use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for a project to come to rest.
const SETTLE_SECONDS_MAX: u64 = 15;
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(400);
/// What is looked at.
const STATES: &[&str] = &["ps", "-a", "--format", "{{.Name}} {{.State}} {{.Health}} {{.ExitCode}}"];

/// How often what was found.
#[derive(Debug, Default)]
struct Count {
    same: u32,
    other_words: u32,
    differ: u32,
}

#[test]
fn commands_do_what_docker_compose_s_do() {
    let (Ok(peer), Ok(host)) = (env::var("MESH_PEER"), env::var("MESH_PEER_HOST")) else {
        println!("skipped: MESH_PEER and MESH_PEER_HOST do not name a binary and an engine");
        return;
    };
    if !is_root() {
        println!("skipped: not root");
        return;
    }
    let mut scenarios = scenario::own();
    if let Ok(suite) = env::var("MESH_PEER_SUITE") {
        scenarios.extend(scenario::of_suite(Path::new(&suite)));
    }
    if let Ok(only) = env::var("MESH_PEER_ONLY") {
        scenarios.retain(|scenario| scenario.name.contains(&only));
    }
    assert!(!scenarios.is_empty(), "no scenario");
    let mut count = Count::default();
    for scenario in &scenarios {
        play(scenario, &peer, &host, &mut count);
    }
    let Count { same, other_words, differ } = count;
    println!(
        "{} scenarios, {} commands: {same} the same, {other_words} refused in other words, {differ} differ",
        scenarios.len(),
        same + other_words + differ
    );
}

/// Plays a scenario on both sides.
fn play(scenario: &Scenario, peer: &str, host: &str, count: &mut Count) {
    println!("# {}", scenario.name);
    let stack = Stack::new("services: {}\n");
    for (name, text) in &scenario.files {
        stack.write(name, &format!("name: {}\n{text}", stack.name()));
    }
    if let Some(folder) = &scenario.folder {
        let copied =
            Command::new("cp").args(["-a", "--"]).arg(folder.join(".")).arg(stack.directory()).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", folder.display());
        if !scenario.keeps_default_file {
            std::fs::remove_file(stack.directory().join("compose.yaml")).expect("the placeholder");
        }
    }
    let theirs = |words: &[String]| {
        let mut command = Command::new(peer);
        command.env("DOCKER_HOST", host).env_remove("COMPOSE_PROJECT_NAME");
        if scenario.folder.is_some() {
            command.env("COMPOSE_PROJECT_NAME", stack.name());
        }
        command.args(words).current_dir(stack.directory()).stdin(Stdio::null());
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the peer runs"))
    };
    let ours = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = stack.command(&words);
        if scenario.folder.is_none() {
            command.env_remove("COMPOSE_PROJECT_NAME");
        }
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mesh runs"))
    };
    for step in &scenario.steps {
        match step {
            Step::Settle => {
                settle(&ours);
                settle(&theirs);
            }
            Step::Run(words) => {
                let words: Vec<String> = words.iter().map(|word| word.replace('@', stack.name())).collect();
                let words = words.as_slice();
                let (own, mut other) = (ours(words), theirs(words));
                if words.iter().any(|word| word == "events") {
                    other = patiently(&theirs, words, other);
                }
                tell(words, &own, &other, stack.directory(), count);
                // Nothing comes of a file that both refuse.
                if words.iter().any(|word| word == "config") && own.code != 0 && other.code != 0 {
                    break;
                }
            }
        }
    }
    theirs(&["--profile", "*", "down", "-v", "-t", "0", "--remove-orphans"].map(str::to_owned));
}

/// Docker Compose's `events --until` ends with the error `EOF`, and often before it has printed what it was told:
/// the most that some tries gave, without that error.
fn patiently(run: &dyn Fn(&[String]) -> Outcome, words: &[String], first: Outcome) -> Outcome {
    const TRIES: usize = 12;
    let mut best = first;
    for _ in 0..TRIES {
        let next = run(words);
        if next.stdout.len() > best.stdout.len() {
            best = next;
        }
    }
    if best.stderr.trim() == "EOF" {
        (best.code, best.stderr) = (0, String::new());
    }
    best
}

/// Waits until a project has stopped changing.
fn settle(run: &dyn Fn(&[String]) -> Outcome) {
    let words: Vec<String> = STATES.iter().map(|word| (*word).to_owned()).collect();
    let deadline = Instant::now() + Duration::from_secs(SETTLE_SECONDS_MAX);
    let mut before = String::new();
    let mut calm = 0;
    while calm < 3 && Instant::now() < deadline {
        let now = run(&words).stdout;
        calm = if now == before && !now.contains("starting") { calm + 1 } else { 0 };
        before = now;
        thread::sleep(LOOK);
    }
}

/// Prints how the two compare.
fn tell(words: &[String], ours: &Outcome, theirs: &Outcome, directory: &Path, count: &mut Count) {
    let line = words.join(" ");
    let verb = Words { line: &line, directory: &directory.display().to_string() };
    let (own, other) = (normal(&verb, &ours.stdout), normal(&verb, &theirs.stdout));
    if ours.code != theirs.code || own != other {
        count.differ += 1;
        let (own_part, other_part) = parting(&own, &other);
        println!("differs      {line}");
        println!("  docker compose: {} {}", theirs.code, shown(&other_part, theirs));
        println!("  mesh:           {} {}", ours.code, shown(&own_part, ours));
        return;
    }
    let (own, other) = (reason(&verb, &ours.stderr), reason(&verb, &theirs.stderr));
    if ours.code != 0 && own != other {
        count.other_words += 1;
        println!("other words  {line}\n  docker compose: {other}\n  mesh:           {own}");
        return;
    }
    count.same += 1;
    println!("same         {line}");
}

/// Where two texts part: their first lines that differ, from a little before the difference.
fn parting(own: &str, other: &str) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 240;
    let mut pairs = own.lines().zip(other.lines()).filter(|(own, other)| own != other);
    let (own_line, other_line) = match pairs.next() {
        Some((own, other)) => (own, other),
        None => {
            let least = own.lines().count().min(other.lines().count());
            (own.lines().nth(least).unwrap_or_default(), other.lines().nth(least).unwrap_or_default())
        }
    };
    let same = own_line.chars().zip(other_line.chars()).take_while(|(own, other)| own == other).count();
    let part = |line: &str| line.chars().skip(same.saturating_sub(BEFORE)).take(SHOWN).collect();
    (part(own_line), part(other_line))
}

/// What was printed, or else why nothing was.
fn shown(stdout: &str, outcome: &Outcome) -> String {
    match stdout {
        "" => format!("(nothing more) {}", outcome.stderr.lines().last().unwrap_or_default()),
        text => text.to_owned(),
    }
}
