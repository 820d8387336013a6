//! `operator generate-root`: another root token, a key at a time. The token comes encoded with a one-time password.

use crate::{
    client::{Ask, Client},
    command::{Call, Command, Fault, Outcome, Output, failed, refused, wrong},
    data::INPUT_BYTES_MAX,
    flags::{Flag, Kind, flag},
    table::columns,
    ui::{Format, INTERRUPTED, wrapped},
    values::{is_empty, plain},
};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::{Map, Value, json};

const FLAGS: &[Flag] = &[
    flag(&["cancel"], Kind::Switch, "Forget what was begun."),
    flag(&["decode"], Kind::Text, "Decode this token with the password of -otp; \"-\" reads it."),
    flag(&["generate-otp"], Kind::Switch, "Print a password for -init and -decode."),
    flag(&["init"], Kind::Switch, "Begin."),
    flag(&["nonce"], Kind::Text, "Which operation a key is for."),
    flag(&["otp"], Kind::Text, "The one-time password, for -init or -decode."),
    flag(&["status"], Kind::Switch, "Only tell how far it is."),
];

pub(super) const COMMANDS: &[Command] = &[Command {
    words: &["operator", "generate-root"],
    arguments: "[KEY]",
    summary: "Generates a new root token",
    output: Output::Format,
    flags: FLAGS,
    run: generate_root,
}];

const ATTEMPT: &str = "sys/generate-root/attempt";
const UPDATE: &str = "sys/generate-root/update";
/// Letters of a password where the server does not say how many it wants.
const PASSWORD_LETTERS: usize = 28;
/// Longest password that is made, whatever the server wants.
const PASSWORD_LETTERS_MAX: usize = 4096;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The largest multiple of 62 in a byte: what is above would make some letters likelier.
const UNBIASED: u8 = 248;

fn generate_root(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got > 1 {
        return Err(wrong(format!("Too many arguments (expected 0-1, got {got})")));
    }
    let client = call.client()?;
    let otp = call.flags.text("otp").unwrap_or_default().to_owned();
    if call.flags.is("generate-otp") {
        return make_password(call, &client);
    }
    if let Some(encoded) = call.flags.text("decode").filter(|text| !text.is_empty()).map(str::to_owned) {
        return decode(call, &client, encoded, &otp);
    }
    if call.flags.is("cancel") {
        let cancelled = client.ask(&Ask::delete(ATTEMPT));
        cancelled.map_err(refused("Error canceling root token generation"))?;
        call.ui.say("Success! Root token generation canceled (if it was started)");
        return Ok(0);
    }
    if call.flags.is("init") {
        let body = json!({"otp": otp, "pgp_key": ""});
        let begun = client.json(&Ask::put(ATTEMPT, body));
        return show(call, begun.map_err(refused("Error initializing root generation"))?);
    }
    if call.flags.is("status") {
        let status = status(&client)?;
        return show(call, Value::Object(status));
    }
    give(call, &client)
}

fn status(client: &Client) -> Result<Map<String, Value>, Fault> {
    let status = client.json(&Ask::get(ATTEMPT)).map_err(refused("Error getting root generation status"))?;
    match status {
        Value::Object(status) => Ok(status),
        _ => Err(failed("Error getting root generation status: the answer is no object")),
    }
}

fn wanted_letters(status: &Map<String, Value>) -> usize {
    let wanted = status.get("otp_length").and_then(Value::as_u64).filter(|letters| *letters > 0);
    wanted.and_then(|letters| usize::try_from(letters).ok()).unwrap_or(PASSWORD_LETTERS)
}

fn make_password(call: &mut Call<'_>, client: &Client) -> Outcome {
    let letters = wanted_letters(&status(client)?).min(PASSWORD_LETTERS_MAX);
    let password = random_letters(letters).map_err(|error| failed(error.to_string()))?;
    if call.ui.format != Format::Table {
        return call.ui.show_value(&json!({"otp": password, "otp_length": letters}));
    }
    call.ui.say_raw(&password);
    Ok(0)
}

fn random_letters(letters: usize) -> Result<String, rustix::io::Errno> {
    let mut text = String::with_capacity(letters);
    let mut bytes = [0_u8; 32];
    while text.len() < letters {
        let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        let even = bytes[..got].iter().filter(|byte| **byte < UNBIASED);
        let even = even.map(|byte| char::from(LETTERS[usize::from(byte % 62)]));
        text.extend(even.take(letters - text.len()));
    }
    Ok(text)
}

fn decode(call: &mut Call<'_>, client: &Client, mut encoded: String, otp: &str) -> Outcome {
    if otp.is_empty() {
        return Err(wrong("Missing otp: use -otp to supply it"));
    }
    if encoded == "-" {
        let read = call.ui.input(INPUT_BYTES_MAX);
        encoded = read.map_err(|why| wrong(format!("Failed to read from stdin: {why}")))?;
        if encoded.is_empty() {
            return Err(wrong(
                "Missing encoded value. When using -decode=\"-\" value must be passed via stdin.",
            ));
        }
    }
    // The server is asked, although what it says changes nothing any more: a wrong address is told.
    status(client)?;
    let bad = |why: &str| wrong(format!("Error decoding root token: {why}"));
    let token = decoded(encoded.trim(), otp).map_err(bad)?;
    if call.ui.format != Format::Table {
        return call.ui.show_value(&json!({"token": token}));
    }
    call.ui.say_raw(&token);
    Ok(0)
}

/// A token out of what the server gave, letter by letter with the password.
fn decoded(encoded: &str, otp: &str) -> Result<String, &'static str> {
    let bytes = BASE64_STANDARD_NO_PAD.decode(encoded.trim_end_matches('='));
    let bytes = bytes.map_err(|_| "it is no base64")?;
    if bytes.len() != otp.len() {
        return Err("it is not as long as the one-time password");
    }
    let token = bytes.iter().zip(otp.bytes()).map(|(one, other)| one ^ other).collect();
    String::from_utf8(token).map_err(|_| "it does not fit to the one-time password")
}

fn show(call: &mut Call<'_>, status: Value) -> Outcome {
    if call.ui.format != Format::Table {
        return call.ui.show_value(&status);
    }
    let Value::Object(status) = status else { return Ok(0) };
    let text = |key: &str| status.get(key).map(plain).unwrap_or_default();
    let given = |key: &str| status.get(key).is_some_and(|value| !is_empty(value));
    let mut rows = vec![
        ("Nonce", text("nonce")),
        ("Started", text("started")),
        ("Progress", format!("{}/{}", text("progress"), text("required"))),
        ("Complete", text("complete")),
    ];
    if given("pgp_fingerprint") {
        rows.push(("PGP Fingerprint", text("pgp_fingerprint")));
    }
    if given("encoded_token") {
        rows.push(("Encoded Token", text("encoded_token")));
    } else if given("encoded_root_token") {
        rows.push(("Encoded Root Token", text("encoded_root_token")));
    }
    if given("otp") {
        call.ui.warn(&wrapped(
            "A One-Time-Password has been generated for you and is shown in the OTP field. You will need this value \
             to decode the resulting root token, so keep it safe.",
        ));
        rows.push(("OTP", text("otp")));
    }
    if given("otp_length") {
        rows.push(("OTP Length", text("otp_length")));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    call.ui.say(&columns(&rows));
    Ok(0)
}

fn give(call: &mut Call<'_>, client: &Client) -> Outcome {
    let before = status(client)?;
    if before.get("started").is_none_or(is_empty) {
        let text = "No root generation is in progress. Start a root generation by running \"vault operator \
                    generate-root -init\".";
        let length = format!(
            "If starting root generation using the OTP method and generating your own OTP, the length of the OTP \
             string needs to be {} characters in length.",
            wanted_letters(&before)
        );
        return Err(wrong(format!("{}\n{}", wrapped(text), wrapped(&length))));
    }
    let (key, nonce) = key(call, &before)?;
    if nonce.is_empty() {
        return Err(wrong("Missing nonce value: specify it via the -nonce flag"));
    }
    let body = json!({"key": key.trim(), "nonce": nonce});
    let after = client.json(&Ask::put(UPDATE, body)).map_err(refused("Error posting unseal key"))?;
    show(call, after)
}

/// A key, and which operation it is for.
fn key(call: &mut Call<'_>, before: &Map<String, Value>) -> Result<(String, String), Fault> {
    let told = call.flags.text("nonce").unwrap_or_default().to_owned();
    match call.argument(0).to_owned().as_str() {
        "-" => {
            let key = call.ui.input(INPUT_BYTES_MAX);
            Ok((key.map_err(|why| wrong(format!("Failed to read from stdin: {why}")))?, told))
        }
        "" if call.ui.quiet => Err(wrong(wrapped(
            "Refusing to read from stdin with -non-interactive specified; specify nonce via the -nonce flag",
        ))),
        "" => {
            let nonce = before.get("nonce").map(plain).unwrap_or_default();
            call.ui.say(&format!("Operation nonce: {nonce}"));
            let key = call.ui.ask("Unseal Key (will be hidden): ");
            let failed = |why: String| match why == INTERRUPTED {
                true => wrong(why),
                false => wrong(format!("An error occurred attempting to ask for the unseal key: {why}")),
            };
            Ok((key.map_err(failed)?, nonce))
        }
        key => Ok((key.to_owned(), told)),
    }
}

#[cfg(test)]
mod tests {
    use super::{decoded, random_letters};

    #[test]
    fn tokens_come_out_with_their_password_alone() {
        for (encoded, otp, expected) in [
            ("GyY", "ab", Ok("zD")),
            ("GyY=", "ab", Ok("zD")),
            ("GyY", "abc", Err("it is not as long as the one-time password")),
            ("?", "a", Err("it is no base64")),
            ("nyY", "ab", Err("it does not fit to the one-time password")),
        ] {
            assert_eq!(decoded(encoded, otp).as_deref(), expected.as_deref(), "{encoded} {otp}");
        }
        let password = random_letters(100).unwrap();
        assert!(password.len() == 100 && password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
