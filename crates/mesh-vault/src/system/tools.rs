//! `sys/tools/`: hashes and random bytes; and policies for passwords.

use crate::{
    core::{active::Active, ask::Ask, random, reply::Reply, work::Work},
    logical::{Object, Operation, Refusal, Response},
    storage::StorageError,
};
use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

/// Most random bytes at once, as in Vault.
const RANDOM_BYTES_MAX: i64 = 128 * 1024;
const PASSWORD_POLICIES: &str = "sys/password-policy/";

/// `sys/tools/hash[/<algorithm>]`, `sys/tools/random[/<source>][/<bytes>]`
pub(super) fn handle(ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    match head {
        _ if !ask.operation.writes() => Err(Refusal::UnsupportedOperation),
        "hash" => hash(ask, rest),
        "random" => random_bytes(ask, rest),
        _ => Err(Refusal::UnsupportedPath),
    }
}

fn encode(ask: &Ask, default: &str, bytes: &[u8]) -> Result<String, Refusal> {
    match ask.fields().string("format")?.as_deref().unwrap_or(default) {
        "hex" => Ok(random::hex(bytes)),
        "base64" => Ok(BASE64_STANDARD.encode(bytes)),
        other => Err(Refusal::invalid(format!(
            "unsupported encoding format {other:?}; must be \"hex\" or \"base64\""
        ))),
    }
}

fn hash(ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    let fields = ask.fields();
    let asked =
        if path.is_empty() { fields.string("algorithm")?.unwrap_or_default() } else { path.to_owned() };
    let algorithm = match asked.as_str() {
        "sha2-224" => &digest::SHA224,
        "" | "sha2-256" => &digest::SHA256,
        "sha2-384" => &digest::SHA384,
        "sha2-512" => &digest::SHA512,
        "sha3-256" => &digest::SHA3_256,
        "sha3-384" => &digest::SHA3_384,
        "sha3-512" => &digest::SHA3_512,
        other => return Err(Refusal::invalid(format!("unsupported algorithm {other}"))),
    };
    let input = fields.string("input")?.unwrap_or_default();
    let input = BASE64_STANDARD
        .decode(input)
        .map_err(|error| Refusal::invalid(format!("unable to decode input as base64: {error}")))?;
    let sum = encode(ask, "hex", digest::digest(algorithm, &input).as_ref())?;
    Ok(Response::data(Object::from_iter([("sum".to_owned(), json!(sum))])).into())
}

fn random_bytes(ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    let count = path.rsplit('/').next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let count = match count.filter(|part| !part.is_empty()) {
        Some(part) => part.parse().map_err(|_| Refusal::invalid("error parsing url-set byte count"))?,
        None => ask.fields().integer("bytes")?.unwrap_or(32),
    };
    if count < 1 {
        return Err(Refusal::invalid("\"bytes\" cannot be less than 1"));
    }
    if count > RANDOM_BYTES_MAX {
        return Err(Refusal::invalid(format!("\"bytes\" should be less than {RANDOM_BYTES_MAX}")));
    }
    let mut bytes = vec![0_u8; usize::try_from(count).unwrap_or_default()];
    random::fill(&mut bytes)?;
    let text = encode(ask, "base64", &bytes)?;
    Ok(Response::data(Object::from_iter([("random_bytes".to_owned(), json!(text))])).into())
}

/// `sys/policies/password/<name>[/generate]`
pub(super) fn password_policy(
    active: &Active,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    if path.is_empty() && ask.operation == Operation::List {
        return Ok(Response::keys(active.store().list(PASSWORD_POLICIES)?).into());
    }
    if let Some(name) = path.strip_suffix("/generate") {
        let policy = load(active, name)?.ok_or(Refusal::NotFound)?;
        let password = Password::parse(&policy)?.generate()?;
        return Ok(Response::data(Object::from_iter([("password".to_owned(), json!(password))])).into());
    }
    let key = format!("{PASSWORD_POLICIES}{path}");
    match ask.operation {
        _ if path.is_empty() => Err(Refusal::UnsupportedOperation),
        Operation::Read => {
            let missing = || Refusal::Status {
                status: 404,
                text: "1 error occurred:\n\t* policy does not exist\n\n".to_owned(),
            };
            let policy = load(active, path)?.ok_or_else(missing)?;
            Ok(Response::data(Object::from_iter([("policy".to_owned(), json!(policy))])).into())
        }
        Operation::Delete => {
            work.delete(key);
            Ok(Reply::default())
        }
        Operation::Create | Operation::Update => {
            let text = ask.fields().string("policy")?.unwrap_or_default();
            if text.is_empty() {
                return Err(Refusal::invalid("missing policy"));
            }
            let decoded = BASE64_STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let text = decoded.unwrap_or(text);
            // One that cannot make a password is refused here.
            Password::parse(&text)?.generate()?;
            work.put(key, &text);
            Ok(Reply::default())
        }
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn load(active: &Active, name: &str) -> Result<Option<String>, StorageError> {
    let key = format!("{PASSWORD_POLICIES}{name}");
    let Some(stored) = active.store().get(&key)? else { return Ok(None) };
    serde_json::from_slice(&stored).map(Some).map_err(|_| StorageError::Corrupt { key })
}

/// What passwords are to be like: length, and letters of which there are to be so many.
struct Password {
    length: usize,
    rules: Vec<(Vec<char>, usize)>,
}

const LENGTH_MIN: i64 = 4;
const LENGTH_MAX: i64 = 100;
/// Passwords drawn before the rules count as impossible.
const DRAWS_MAX: usize = 1_000;

impl Password {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let bad = |problem: &str| Refusal::invalid(format!("invalid password policy: {problem}"));
        let tree = crate::hcl::parse(text).map_err(|error| bad(&error.to_string()))?;
        let length = tree.get("length").and_then(serde_json::Value::as_i64).unwrap_or(0);
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Err(bad(&format!("length must be between {LENGTH_MIN} and {LENGTH_MAX}")));
        }
        let mut rules = Vec::new();
        collect_rules(tree.get("rule"), &mut rules);
        if rules.is_empty() {
            return Err(bad("no charset rule"));
        }
        let mut found = Vec::new();
        for rule in rules {
            let letters = rule.get("charset").and_then(serde_json::Value::as_str).unwrap_or_default();
            let mut letters: Vec<char> = letters.chars().collect();
            letters.sort_unstable();
            letters.dedup();
            let least = rule.get("min-chars").and_then(serde_json::Value::as_i64).unwrap_or(0);
            if letters.is_empty() {
                return Err(bad("a charset is empty"));
            }
            found.push((letters, usize::try_from(least).unwrap_or(0)));
        }
        Ok(Self { length: usize::try_from(length).unwrap_or(0), rules: found })
    }

    fn generate(&self) -> Result<String, Refusal> {
        let mut letters: Vec<char> =
            self.rules.iter().flat_map(|(letters, _)| letters.iter().copied()).collect();
        letters.sort_unstable();
        letters.dedup();
        for _ in 0..DRAWS_MAX {
            let mut password = Vec::with_capacity(self.length);
            while password.len() < self.length {
                password.push(letters[below(letters.len())?]);
            }
            let kept = self.rules.iter().all(|(letters, least)| {
                password.iter().filter(|letter| letters.contains(letter)).count() >= *least
            });
            if kept {
                return Ok(password.into_iter().collect());
            }
        }
        Err(Refusal::invalid("unable to generate a password by this policy"))
    }
}

/// Objects under `rule`, whose label (`charset`) may stand between.
fn collect_rules<'a>(value: Option<&'a serde_json::Value>, found: &mut Vec<&'a Object>) {
    match value {
        Some(serde_json::Value::Array(values)) => {
            values.iter().for_each(|value| collect_rules(Some(value), found))
        }
        Some(serde_json::Value::Object(object)) => match object.get("charset") {
            Some(serde_json::Value::String(_)) => found.push(object),
            inner => collect_rules(inner, found),
        },
        _ => {}
    }
}

/// A number below another, evenly drawn.
fn below(bound: usize) -> Result<usize, StorageError> {
    let bound = u32::try_from(bound).unwrap_or(u32::MAX).max(1);
    let fair = u32::MAX - u32::MAX % bound;
    loop {
        let mut bytes = [0_u8; 4];
        random::fill(&mut bytes)?;
        let drawn = u32::from_le_bytes(bytes);
        if drawn < fair {
            return Ok(usize::try_from(drawn % bound).unwrap_or(0));
        }
    }
}
