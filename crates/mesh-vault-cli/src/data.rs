//! `key=value` arguments: `key=@file`, `key=-`, and `-` or `@file` alone for JSON.

use crate::ui::Ui;
use serde_json::{Map, Value, json};
use std::{fs, io::Read as _};

/// Most that is read of a file or of standard input, in bytes: more than any server takes.
pub(crate) const INPUT_BYTES_MAX: u64 = 64 << 20;

/// What the arguments say.
pub(crate) fn parse(ui: &mut Ui<'_>, arguments: &[String]) -> Result<Map<String, Value>, String> {
    let mut data = Map::new();
    let mut consumed = false;
    for argument in arguments {
        add(ui, &mut data, &mut consumed, argument)
            .map_err(|why| format!("invalid key/value pair {:?}: {why}", without_value(argument)))?;
    }
    Ok(data)
}

/// The argument, without a value that may be secret.
fn without_value(argument: &str) -> &str {
    argument.split('=').next().unwrap_or_default()
}

fn add(
    ui: &mut Ui<'_>,
    data: &mut Map<String, Value>,
    consumed: &mut bool,
    argument: &str,
) -> Result<(), String> {
    let mut input = |ui: &mut Ui<'_>| match std::mem::replace(consumed, true) {
        true => Err("stdin already consumed".to_owned()),
        false => ui.input(INPUT_BYTES_MAX),
    };
    let Some((key, value)) = argument.split_once('=') else {
        return match argument {
            "" => Ok(()),
            "-" => merge(data, &input(ui)?),
            argument => match argument.strip_prefix('@') {
                Some(path) => merge(data, &file(path)?),
                None => Err("format must be key=value".to_owned()),
            },
        };
    };
    let value = match value {
        "-" => input(ui)?,
        value if value.starts_with("\\@") => value[1..].to_owned(),
        value => match value.strip_prefix('@') {
            Some(path) => file(path).map_err(|error| format!("error reading file: {error}"))?,
            None => value.to_owned(),
        },
    };
    // A key that stands there again makes a list.
    let value = match data.remove(key) {
        None => json!(value),
        Some(Value::Array(mut all)) => {
            all.push(json!(value));
            Value::Array(all)
        }
        Some(first) => json!([first, value]),
    };
    data.insert(key.to_owned(), value);
    Ok(())
}

fn merge(data: &mut Map<String, Value>, text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("EOF".to_owned());
    }
    // Of several values the first counts.
    let first = serde_json::Deserializer::from_str(text).into_iter::<Value>().next();
    match first {
        Some(Ok(Value::Object(map))) => {
            data.extend(map);
            Ok(())
        }
        Some(Err(error)) => Err(format!("line {}, column {}: it is no JSON", error.line(), error.column())),
        _ => Err("it is no JSON object".to_owned()),
    }
}

/// The text of a file.
pub(crate) fn file(path: &str) -> Result<String, String> {
    let opened = fs::File::open(path).map_err(|error| not_there(path, &error))?;
    let mut text = String::new();
    let mut limited = opened.take(INPUT_BYTES_MAX + 1);
    limited.read_to_string(&mut text).map_err(|error| format!("read {path}: {error}"))?;
    match text.len() as u64 > INPUT_BYTES_MAX {
        true => Err(format!("{path} has more than {INPUT_BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

fn not_there(path: &str, error: &std::io::Error) -> String {
    let text = error.to_string();
    format!("open {path}: {}", text.split(" (os error").next().unwrap_or_default().to_lowercase())
}

/// Values as texts, as some endpoints want them.
pub(crate) fn texts(data: Map<String, Value>) -> Result<Map<String, Value>, String> {
    data.into_iter()
        .map(|(key, value)| match value {
            Value::String(_) => Ok((key, value)),
            Value::Bool(is) => Ok((key, json!(if is { "1" } else { "0" }))),
            Value::Number(number) => Ok((key, json!(number.to_string()))),
            Value::Null => Ok((key, json!(""))),
            _ => Err(format!("failed to convert values to strings: '{key}' expected type 'string'")),
        })
        .collect()
}

/// Values as parameters of an address.
pub(crate) fn parameters(data: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for (key, value) in data {
        match value {
            Value::Array(all) => {
                found.extend(all.iter().map(|value| (key.clone(), crate::values::plain(value))));
            }
            Value::Object(_) => {
                return Err(format!("failed to convert values to strings: '{key}' expected a list"));
            }
            other => found.push((key, crate::values::plain(&other))),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{Format, Streams};

    fn parse(input: &str, arguments: &[&str]) -> Result<Value, String> {
        let (mut input, mut output, mut errors) = (input.as_bytes(), Vec::new(), Vec::new());
        let streams =
            Streams { input: &mut input, output: &mut output, errors: &mut errors, is_terminal: false };
        let mut ui = Ui { streams, format: Format::Table, detailed: false, quiet: false };
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        super::parse(&mut ui, &arguments).map(Value::Object)
    }

    #[test]
    fn pairs_files_and_streams_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "from file").unwrap();
        let path = file.path().display();
        let all = parse("piped", &["a=1", "b=x=y", "a=2", "c=-", &format!("d=@{path}"), "e=\\@f", "", "g="]);
        let want = json!({"a": ["1", "2"], "b": "x=y", "c": "piped", "d": "from file", "e": "@f", "g": ""});
        assert_eq!(all.unwrap(), want);
        assert_eq!(parse(r#"{"n": 1, "l": [true]}"#, &["-"]).unwrap(), json!({"n": 1, "l": [true]}));
        for (arguments, want) in [
            (vec!["word"], "invalid key/value pair \"word\": format must be key=value"),
            (vec!["a=-", "b=-"], "invalid key/value pair \"b\": stdin already consumed"),
            (vec!["a=@/nowhere"], "error reading file: open /nowhere: no such file or directory"),
            (vec!["@/nowhere"], "invalid key/value pair \"@/nowhere\": open /nowhere: no such"),
            (vec!["-"], "it is no JSON"),
        ] {
            let error = parse("hunter2", &arguments).unwrap_err();
            assert!(error.contains(want) && !error.contains("hunter2"), "{error}");
        }
    }
}
