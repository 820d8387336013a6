//! Our command line beside Vault's own, or OpenBao's: every line of `peer.txt`, each on a development server of its
//! own. It compares exit code, standard output and standard error, and prints what differs; it does not judge.
//!
//! `MESH_VAULT_PEER` names the other program; without it nothing is done. What cannot be the same (times, ids, tokens,
//! the program's own name) is made words first, and runs of spaces, dashes and equal signs are made one.

#![allow(clippy::unwrap_used, reason = "a test's own steps")]

use mesh_vault_cli::{Streams, run};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

/// A development server; it ends with this value.
struct Server {
    process: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(peer: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        let process = Command::new(peer)
            .args(["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port, home };
        let begun = Instant::now();
        while server.ours(&["status".to_owned()], "", &BTreeMap::new()).code != 0 {
            assert!(begun.elapsed() < START_MAX, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn variables(&self, more: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("VAULT_ADDR".to_owned(), format!("http://127.0.0.1:{}", self.port)),
            ("VAULT_TOKEN".to_owned(), "root".to_owned()),
            ("HOME".to_owned(), self.home.path().display().to_string()),
        ]);
        all.extend(more.clone());
        all
    }

    fn ours(&self, words: &[String], input: &str, more: &BTreeMap<String, String>) -> Done {
        let (mut input, mut output, mut errors) = (input.as_bytes(), Vec::new(), Vec::new());
        let streams =
            Streams { input: &mut input, output: &mut output, errors: &mut errors, is_terminal: false };
        let variables = self.variables(more);
        let code = run(words, &|name| variables.get(name).cloned(), streams);
        Done { code: i32::from(code), output: self.normal(&output), errors: self.normal(&errors) }
    }

    fn theirs(&self, peer: &str, words: &[String], input: &str, more: &BTreeMap<String, String>) -> Done {
        let mut command = Command::new(peer);
        command.args(words).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in self.variables(more) {
            // One of the two is heeded by each program.
            command.env(name.replace("VAULT_", "BAO_"), &value).env(name, value);
        }
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        Done { code, output: self.normal(&output.stdout), errors: self.normal(&output.stderr) }
    }

    fn normal(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(&self.port.to_string(), "PORT");
        normal(&text.replace(&self.home.path().display().to_string(), "HOME"))
    }
}

#[derive(Debug, PartialEq)]
struct Done {
    code: i32,
    output: String,
    errors: String,
}

/// A text without what differs from run to run.
fn normal(text: &str) -> String {
    let text = text.replace("OpenBao", "Vault").replace("BAO_", "VAULT_");
    let rules = [
        (r"\bbao\b", "vault"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"vault-cluster-[0-9a-f]{8}", "CLUSTER"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
        (r"\d\d \w{3} \d\d \d\d:\d\d UTC", "TIME"),
        (r"\b[sbr]\.[A-Za-z0-9_-]{20,}|hv[sb]\.[A-Za-z0-9_-]{20,}", "TOKEN"),
        (r"\b[A-Za-z0-9]{24}\b", "ACCESSOR"),
        (r"\b([a-z_]+)_[0-9a-f]{8}\b", "${1}_ID"),
        (r#"("?creation_time"?:? +)\d+"#, "${1}SECONDS"),
        (r"\b(767h59m5\d|167h59m5\d|59m5\d)s|\b768h\b|\b27[0-9]{5}\b|\b35\d\d\b|\b3600\b", "TTL"),
        // Prose is broken elsewhere where the program's name is longer.
        (r"-{3,}", "---"),
        (r"={2,}", "=="),
        (r"[ \n]{2,}|\n", " "),
    ];
    rules.iter().fold(text, |text, (pattern, with)| {
        regex_lite::Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
    })
}

/// Words as a shell has them, as far as quotes go.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[test]
fn both_say_the_same() {
    let Ok(peer) = std::env::var("MESH_VAULT_PEER") else {
        eprintln!("skipped: MESH_VAULT_PEER names no program to compare with");
        return;
    };
    let lines = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.txt")).unwrap();
    let policy = tempfile::NamedTempFile::new().unwrap();
    fs::write(policy.path(), "path \"secret/*\" {\n  capabilities = [\"read\"]\n}\n").unwrap();
    let (ours, theirs) = (Server::start(&peer), Server::start(&peer));
    let (mut same, mut other) = (0, 0);
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, input) = line.split_once(" <<< ").unwrap_or((line, ""));
        let command = command.replace("POLICY", &policy.path().display().to_string());
        let mut words = words(&command);
        let mut variables = BTreeMap::new();
        while let Some((name, value)) =
            words.first().and_then(|word| word.split_once('=')).filter(|(name, _)| name.starts_with("VAULT_"))
        {
            variables.insert(name.to_owned(), value.to_owned());
            words.remove(0);
        }
        let wanted = theirs.theirs(&peer, &words, input, &variables);
        let got = ours.ours(&words, input, &variables);
        if wanted == got {
            same += 1;
            continue;
        }
        other += 1;
        println!("{line}");
        for (what, wanted, got) in [
            ("code", wanted.code.to_string(), got.code.to_string()),
            ("output", wanted.output, got.output),
            ("errors", wanted.errors, got.errors),
        ] {
            if wanted != got {
                println!("  {what}\n    theirs {wanted:?}\n    ours   {got:?}");
            }
        }
    }
    println!("{} command lines: {same} the same, {other} differ", same + other);
    assert!(same > 0);
}
