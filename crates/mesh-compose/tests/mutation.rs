//! Files with mistakes in them, made from sound ones by a seeded generator: loading ends without a panic, and
//! what loads prints a document that loads again and settles.
//!
//! `MESH_MUTATION_SEED` repeats a run, `MESH_MUTATION_ROUNDS` makes it longer; the targets in `fuzz/` look for
//! the same with coverage.
#![allow(clippy::print_stdout, reason = "says how to repeat a run")]

use mesh_compose::{InputFile, LoadOptions, load};
use std::env;

/// Files of one run: some seconds.
const ROUNDS: u64 = 1_500;
/// Most changes of one file.
const CHANGES_MAX: u64 = 3;
/// Longest part of a file that one change takes, in bytes.
const PART_BYTES_MAX: usize = 8;

const FILES: [&str; 5] = [
    "name: a\nservices:\n  web:\n    image: x:${TAG:-1}\n    ports: ['80:80', '127.0.0.1:90-92:90-92/udp', {target: 5}]\n    environment: {A: 1, B: yes, C: ~, D: 1.50, E: 'a: b', F: \"t\\tb\", G: 1e6}\n    command: echo 'a b'\n    deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 1g}}}\n    volumes: ['v:/v:ro', './x:/y', {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}]\n    depends_on: {db: {condition: service_healthy, required: false}}\n  db: {image: y, profiles: [p], ulimits: {nofile: {soft: 1, hard: 2}}}\nvolumes: {v: {labels: [a=b]}}\n",
    "services:\n  a: &a\n    image: x\n    build: {context: ., args: [A, B=1], ssh: [default, k=p]}\n    healthcheck: {test: [CMD, a], interval: 1m30s, retries: 3, disable: false}\n    logging: {driver: x, options: {a: 1}}\n  b:\n    <<: *a\n    labels: [c=d]\n    networks: {n: {aliases: [q], ipv4_address: 10.0.0.2}}\nnetworks: {n: {ipam: {config: [{subnet: 10.0.0.0/24}]}}}\n",
    "services:\n  a:\n    image: x\n    secrets: [s, {source: s, target: t, mode: 0400}]\n    configs: [c]\n    extra_hosts: ['a:1.2.3.4', 'b=::1']\n    post_start: [{command: x, user: root}]\n    develop: {watch: [{path: ., action: sync, target: /x, ignore: [a]}]}\n    blkio_config: {weight: 10, device_read_bps: [{path: /dev/a, rate: 1mb}]}\n    gpus: all\nsecrets: {s: {file: ./s}}\nconfigs: {c: {content: \"l1\\nl2\\n  $$x\"}}\n",
    "x-a: &x {k: [1, 0x1f, .inf, ~, {}], 'on': \"\\x07 \\u263a\"}\nservices:\n  a: {image: x, x-b: *x, labels: {l: 2}}\n",
    "services:\n  a: {image: x, command: !reset null, environment: !override {A: b}, links: ['b:c'], cap_add: [ALL]}\n  b: {image: y, network_mode: none, tmpfs: /t, stop_grace_period: 90s, mem_limit: 1.5g, cpus: 1.25}\n---\nservices:\n  a: {expose: [80, '90']}\n",
];

const TOKENS: [&str; 40] = [
    ":",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!reset ",
    "!override ",
    "<<: ",
    "'",
    "\"",
    "#",
    "|\n",
    ">-\n",
    "~",
    "${A:-",
    "${A:?x}",
    "$$",
    "$A",
    "null",
    "true",
    "yes",
    "0",
    "-1",
    "1e400",
    "99999999999999999999",
    "0x",
    "é",
    "\u{0}",
    "\u{feff}",
    "\t",
    "x-y: 1\n",
    "services:\n",
    "image: x\n",
    "? ",
    "---\n",
];

/// A small generator: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap_or(0)
    }

    /// A place in a text where a character begins.
    fn place(&mut self, text: &str) -> usize {
        let place = self.index(text.len() + 1);
        (0..=place).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
    }
}

fn changed(dice: &mut Dice, sound: &str) -> String {
    let mut text = sound.to_owned();
    for _ in 0..=dice.roll(CHANGES_MAX) {
        let (from, to) = (dice.place(&text), dice.place(&text));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + PART_BYTES_MAX));
        let to = (to..=text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len());
        let part = text[from..to].to_owned();
        match dice.roll(6) {
            // Gentle: another character of the same kind.
            5 => text.insert(to, char::from(b'0' + u8::try_from(dice.roll(75)).unwrap_or(0))),
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(to, &part),
            2 => text.insert_str(from, TOKENS[dice.index(TOKENS.len())]),
            3 => text.replace_range(from..to, TOKENS[dice.index(TOKENS.len())]),
            _ => {
                let other = FILES[dice.index(FILES.len())];
                let lines: Vec<&str> = other.split_inclusive('\n').collect();
                text.insert_str(from, lines[dice.index(lines.len())]);
            }
        }
    }
    text
}

fn options(text: &str, interpolate: bool) -> LoadOptions {
    LoadOptions {
        files: vec![InputFile::Text { name: "mutated.yaml".to_owned(), text: text.to_owned() }],
        working_directory: "/nonexistent".into(),
        project_name: Some("mutated".to_owned()),
        environment: [("A".to_owned(), "a".to_owned())].into(),
        interpolate,
        ..LoadOptions::default()
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn changed_files_end_in_findings_or_in_a_document_that_loads_again() {
    let (seed, rounds) = (number("MESH_MUTATION_SEED", 0x5eed), number("MESH_MUTATION_ROUNDS", ROUNDS));
    for file in FILES {
        load(&options(file, true)).unwrap_or_else(|error| panic!("{error:?}\n{file}"));
    }
    let mut loads = 0_u64;
    for round in 0..rounds {
        let mut dice = Dice(seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let sound = FILES[dice.index(FILES.len())];
        let text = changed(&mut dice, sound);
        let told = || {
            format!(
                "MESH_MUTATION_SEED={} MESH_MUTATION_ROUNDS=1, the file:\n{text}",
                seed.wrapping_add(round)
            )
        };
        drop(load(&options(&text, false)));
        let Ok(loaded) = load(&options(&text, true)) else { continue };
        loads += 1;
        let yaml = loaded.document.to_yaml();
        // A dependency that may be missing is shown, as Docker Compose shows it, and where it is missing the
        // document does not load: the service is not in it.
        // A `$` of a key is doubled as it is there, though keys have no variables.
        let dollar_in_key =
            yaml.lines().any(|line| line.rsplit_once(':').is_some_and(|(key, _)| key.contains("$$")));
        if yaml.contains("required: false") || dollar_in_key {
            continue;
        }
        let reloaded = |yaml: &str| {
            let loaded = load(&options(yaml, true));
            loaded
                .unwrap_or_else(|error| panic!("{error:?}\n{}\nits document:\n{yaml}", told()))
                .document
                .to_yaml()
        };
        // What is left out because it is blank may be filled in once, as a blank `dockerfile` is.
        let again = reloaded(&yaml);
        assert_eq!(reloaded(&again), again, "{}", told());
        drop(loaded.document.to_json());
    }
    println!("{loads} of {rounds} changed files still load");
    assert!(rounds < ROUNDS || loads > rounds / 50, "so few load that nothing is looked at");
}

#[test]
fn any_file_of_variables_ends() {
    let (seed, rounds) = (number("MESH_MUTATION_SEED", 0x5eed), number("MESH_MUTATION_ROUNDS", ROUNDS));
    let sound = "A=1\nexport B='x y' # c\nC=\"l1\nl2 \\n $A ${D:-e}\"\nE\nF:g\nG=${A:?x}\n";
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(".env");
    for round in 0..rounds / 4 {
        let mut dice = Dice(seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        std::fs::write(&path, changed(&mut dice, sound)).expect("written");
        let options =
            LoadOptions { env_files: vec![path.clone()], ..options("services: {a: {image: x}}", true) };
        drop(load(&options));
    }
}
