//! The user's terminal: whether there is one, its mode that always comes back, and the keys that let go of a
//! container's terminal.

use crate::{environment::Environment, failure::CliError};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

/// Control and P, then control and Q.
const DETACH_KEYS: [u8; 2] = [0x10, 0x11];
/// Largest configuration of Docker's that is read, in bytes.
const DOCKER_CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Whether both standard input and standard output are terminals.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The mode of standard input as it was; it comes back when this is dropped, whatever a program did to it.
#[derive(Debug)]
pub(crate) struct KeptMode {
    before: Termios,
}

impl KeptMode {
    /// Remembers it.
    pub(crate) fn keep() -> io::Result<Self> {
        Ok(Self { before: tcgetattr(io::stdin())? })
    }
}

impl Drop for KeptMode {
    fn drop(&mut self) {
        // Nothing can be done where the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The keys that let go of a container's terminal: those given, or those of Docker's configuration, or
/// control and P, control and Q.
pub(crate) fn detach_keys(given: Option<&str>, environment: &Environment) -> Result<Vec<u8>, CliError> {
    let configured = || configured_keys(environment);
    let text = given.filter(|text| !text.is_empty()).map(str::to_owned).or_else(configured);
    let Some(text) = text else { return Ok(DETACH_KEYS.to_vec()) };
    parse_keys(&text).map_err(|wrong| {
        CliError::said(format!("invalid detach keys ({text}): Unknown character: '{wrong}'"))
            .with_hint("write letters or ctrl-LETTER, separated by commas, as in ctrl-p,ctrl-q")
    })
}

/// `detachKeys` of Docker's `config.json`, where there is one.
fn configured_keys(environment: &Environment) -> Option<String> {
    let directory = match environment.get("DOCKER_CONFIG") {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(environment.get("HOME")?).join(".docker"),
    };
    let mut text = String::new();
    File::open(directory.join("config.json"))
        .ok()?
        .take(DOCKER_CONFIG_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    value.get("detachKeys")?.as_str().filter(|keys| !keys.is_empty()).map(str::to_owned)
}

/// Keys in Docker's words, separated by commas; the one that is not known otherwise.
fn parse_keys(text: &str) -> Result<Vec<u8>, String> {
    text.split(',').map(|key| parse_key(key).ok_or_else(|| key.to_owned())).collect()
}

fn parse_key(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return Some(*byte);
    }
    if key == "DEL" {
        return Some(127);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [mark @ b'['..=b'_'] => Some(mark - b'@'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_docker_s_words() {
        for (text, want) in [
            ("ctrl-p,ctrl-q", Ok(vec![16, 17])),
            ("ctrl-a,d", Ok(vec![1, b'd'])),
            ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL", Ok(vec![0, 27, 28, 29, 30, 31, 127])),
            ("ctrl-A", Err("ctrl-A".to_owned())),
            ("a,,b", Err(String::new())),
            ("esc", Err("esc".to_owned())),
            ("ctrl-é", Err("ctrl-é".to_owned())),
        ] {
            assert_eq!(parse_keys(text), want, "{text}");
        }
    }

    #[test]
    fn keys_are_given_or_configured_or_the_usual_ones() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_string_lossy().into_owned();
        let environment = Environment::of(&[("DOCKER_CONFIG", &path)]);
        let keys = |given| detach_keys(given, &environment);
        assert_eq!(keys(None).unwrap(), DETACH_KEYS);
        std::fs::write(home.path().join("config.json"), r#"{"detachKeys": "ctrl-e,e"}"#).unwrap();
        assert_eq!(keys(None).unwrap(), [5, b'e']);
        assert_eq!(keys(Some("")).unwrap(), [5, b'e']);
        assert_eq!(keys(Some("x")).unwrap(), [b'x']);
        let error = keys(Some("ctrl-1")).unwrap_err().to_string();
        assert_eq!(error, "invalid detach keys (ctrl-1): Unknown character: 'ctrl-1'");
    }
}
