//! `policy list`, `read`, `write`, `delete`, `fmt`.

use crate::{
    client::Ask,
    command::{Call, Command, Outcome, Output, failed, refused, wrong},
    data::{INPUT_BYTES_MAX, file},
    ui::Format,
    values::plain,
};
use serde_json::json;
use std::fs;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["policy", "list"],
        arguments: "",
        summary: "Lists the installed policies",
        output: Output::Format,
        flags: &[],
        run: list,
    },
    Command {
        words: &["policy", "read"],
        arguments: "NAME",
        summary: "Prints the contents of a policy",
        output: Output::Format,
        flags: &[],
        run: read,
    },
    Command {
        words: &["policy", "write"],
        arguments: "NAME PATH",
        summary: "Uploads a named policy from a file",
        output: Output::No,
        flags: &[],
        run: write,
    },
    Command {
        words: &["policy", "delete"],
        arguments: "NAME",
        summary: "Deletes a policy by name",
        output: Output::No,
        flags: &[],
        run: |call| {
            call.count(1)?;
            let name = call.argument(0).to_lowercase();
            let api = format!("sys/policies/acl/{name}");
            call.ask_and_say(
                &Ask::delete(&api),
                &format!("Error deleting {name}"),
                &format!("Success! Deleted policy: {name}"),
            )
        },
    },
    Command {
        words: &["policy", "fmt"],
        arguments: "PATH",
        summary: "Formats a policy on disk",
        output: Output::No,
        flags: &[],
        run: format,
    },
];

fn list(call: &mut Call<'_>) -> Outcome {
    call.count(0)?;
    let answer = call.client()?.answer(&Ask::list("sys/policies/acl"));
    let answer = answer.map_err(refused("Error listing policies"))?;
    let keys = answer.and_then(|secret| secret.keys().cloned());
    let keys = keys.ok_or_else(|| failed("Error listing policies: data from server response is empty"))?;
    if call.ui.format != Format::Table {
        return call.ui.show_value(&json!(keys));
    }
    for key in keys {
        call.ui.say(&plain(&key));
    }
    Ok(0)
}

fn read(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let name = call.argument(0).to_lowercase();
    let api = format!("sys/policies/acl/{name}");
    let answer = call.client()?.answer(&Ask::get(&api));
    let answer = answer.map_err(refused(format!("Error reading policy named {name}")))?;
    let rules = answer.as_ref().and_then(|secret| secret.get("policy")).map(plain).unwrap_or_default();
    if rules.is_empty() {
        return Err(failed(format!("No policy named: {name}")));
    }
    match call.ui.format {
        Format::Table => {
            call.ui.say(rules.trim());
            Ok(0)
        }
        _ => call.ui.show_value(&json!({"policy": rules})),
    }
}

fn write(call: &mut Call<'_>) -> Outcome {
    call.count(2)?;
    let client = call.client()?;
    let (name, path) = (call.arguments[0].clone(), call.argument(1).to_owned());
    let lower = name.trim().to_lowercase();
    let rules = match path.as_str() {
        "-" => {
            call.ui.input(INPUT_BYTES_MAX).map_err(|why| failed(format!("Error reading policy: {why}")))?
        }
        path => file(path).map_err(|why| failed(format!("Error opening policy file: {why}")))?,
    };
    let api = format!("sys/policies/acl/{lower}");
    client.ask(&Ask::put(&api, json!({"policy": rules}))).map_err(refused("Error uploading policy"))?;
    if name != lower {
        call.ui.warn(&format!("Policy name was converted from \"{name}\" to \"{lower}\""));
    }
    call.ui.say(&format!("Success! Uploaded policy: {lower}"));
    Ok(0)
}

/// Lays a policy out: blocks indented by two, `=` below each other. What is in it is left to the server.
fn format(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let path = call.argument(0).to_owned();
    let expanded = match (path.strip_prefix("~/"), call.environment.text("HOME")) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => path,
    };
    let text = file(&expanded).map_err(|why| wrong(format!("Error reading source file: {why}")))?;
    let laid_out = laid_out(&text).map_err(|why| wrong(format!("Failed to parse policy: {why}")))?;
    fs::write(&expanded, laid_out).map_err(|error| wrong(format!("Error writing result: {error}")))?;
    call.ui.say(&format!("Success! Formatted policy: {expanded}"));
    Ok(0)
}

/// Lines indented by how deep they are, and the `=` of lines that follow each other below one another.
fn laid_out(text: &str) -> Result<String, String> {
    let mut depth: usize = 0;
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let (opened, closed) = brackets(line).ok_or_else(|| format!("line {number}: a text has no end"))?;
        let leading = line.chars().take_while(|c| "}]".contains(*c)).count();
        let own = depth.checked_sub(leading).ok_or_else(|| format!("line {number}: nothing is open"))?;
        let blank = line.is_empty() && lines.last().is_none_or(|(_, last)| last.is_empty());
        if !blank {
            lines.push((own, line.to_owned()));
        }
        depth =
            (depth + opened).checked_sub(closed).ok_or_else(|| format!("line {number}: nothing is open"))?;
    }
    if depth > 0 {
        return Err("a block has no end".to_owned());
    }
    while lines.last().is_some_and(|(_, line)| line.is_empty()) {
        lines.pop();
    }
    let mut out = String::new();
    for (at, (own, line)) in lines.iter().enumerate() {
        let line = match assignment(line) {
            None => line.clone(),
            Some((name, value)) => {
                // Assignments that follow each other at one depth.
                let same = |(depth, line): &&(usize, String)| depth == own && assignment(line).is_some();
                let before = lines[..at].iter().rev().take_while(same);
                let after = lines[at..].iter().take_while(same);
                let names = before.chain(after).filter_map(|(_, line)| assignment(line));
                let width = names.map(|(name, _)| name.len()).max().unwrap_or(0);
                format!("{name:width$} = {value}")
            }
        };
        if !line.is_empty() {
            out.push_str(&"  ".repeat(*own));
            out.push_str(line.trim_end());
        }
        out.push('\n');
    }
    Ok(out)
}

/// `name = value` on one line.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-\"".contains(&byte));
    is_name.then_some((name, value.trim()))
}

/// How many brackets a line opens and closes, outside of texts and remarks.
fn brackets(line: &str) -> Option<(usize, usize)> {
    let (mut opened, mut closed, mut quoted) = (0, 0, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => drop(letters.next()),
            '"' => quoted = !quoted,
            _ if quoted => {}
            '#' => break,
            '/' if letters.peek() == Some(&'/') => break,
            '{' | '[' => opened += 1,
            '}' | ']' => closed += 1,
            _ => {}
        }
    }
    (!quoted).then_some((opened, closed))
}

#[cfg(test)]
mod tests {
    use super::laid_out;

    #[test]
    fn policies_are_laid_out() {
        let text = "\n# all\npath \"secret/*\" {\ncapabilities=[ \"read\",\n\"list\"]\n\n\n  min_wrapping_ttl  = \"1s\"\n\
                    max = \"{\" // }\n}\n\n";
        let want = "# all\npath \"secret/*\" {\n  capabilities = [ \"read\",\n    \"list\"]\n\n  min_wrapping_ttl = \"1s\"\n  \
                    max              = \"{\" // }\n}\n";
        assert_eq!(laid_out(text).unwrap(), want);
        assert_eq!(laid_out(want).unwrap(), want);
        for wrong in ["path {", "}", "a = \"b", "]{"] {
            assert!(laid_out(wrong).is_err(), "{wrong}");
        }
    }
}
