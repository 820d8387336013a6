//! What two runs print, made comparable: ids, times and sizes become words, and what comes in any order is
//! sorted.

use serde_json::Value;

/// A command line, and where it ran.
pub struct Words<'a> {
    pub line: &'a str,
    pub directory: &'a str,
}

impl Words<'_> {
    fn has(&self, word: &str) -> bool {
        self.line.split(' ').any(|other| other == word)
    }
}

/// Standard output without what differs from run to run.
pub fn normal(command: &Words<'_>, stdout: &str) -> String {
    let stdout = without_sources(stdout);
    let mut lines: Vec<String> = stdout.lines().filter_map(|line| normal_line(command, line)).collect();
    // Docker's tools print these in the order in which they hear of them.
    if command.has("logs") || command.has("events") || command.has("wait") {
        lines.sort();
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// The last line of standard error without what Mesh puts around it.
pub fn reason(command: &Words<'_>, stderr: &str) -> String {
    let told = stderr.lines().rfind(|line| !line.starts_with("hint: ") && !line.trim().is_empty());
    let told = told.unwrap_or_default();
    let told = told.strip_prefix("error: ").unwrap_or(told);
    normal_words(command, told)
}

/// Mesh's column that says what stands in for an image.
fn without_sources(stdout: &str) -> String {
    let header = stdout.lines().next().unwrap_or_default();
    let Some(at) = header.strip_suffix("SOURCE").map(|rest| rest.chars().count()) else { return stdout.to_owned() };
    let cut = |line: &str| line.chars().take(at).collect::<String>().trim_end().to_owned() + "\n";
    stdout.lines().map(cut).collect()
}

fn normal_line(command: &Words<'_>, line: &str) -> Option<String> {
    if let Ok(mut document @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(line) {
        let action = document["action"].as_str().unwrap_or_default();
        if ["exec_", "top", "attach", "resize"].iter().any(|noise| action.starts_with(noise)) {
            return None;
        }
        sort(&mut document);
        return Some(normal_words(command, &document.to_string()));
    }
    if line.contains(" container exec_") || line.contains(" container top ") || line.contains(" container attach ") {
        return None;
    }
    Some(normal_words(command, line))
}

/// Orders what has no order, and drops the key that Mesh adds.
fn sort(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.shift_remove("Source");
            for (key, value) in fields.iter_mut() {
                if key == "Labels" || key == "Mounts" || key == "Networks" {
                    if let Value::String(text) = value {
                        let mut parts: Vec<&str> = text.split(',').collect();
                        parts.sort_unstable();
                        *text = parts.join(",");
                    }
                }
                sort(value);
            }
        }
        Value::Array(values) => {
            values.iter_mut().for_each(sort);
            if values.iter().all(|value| value.get("ContainerName").is_some()) {
                values.sort_by_key(|value| value["ContainerName"].to_string());
            }
        }
        _ => {}
    }
}

/// Words of a line, with what differs from run to run replaced and spaces between columns made one.
fn normal_words(command: &Words<'_>, line: &str) -> String {
    let line = line.replace(command.directory, "<directory>");
    let mut shown = String::new();
    for piece in pieces(&line) {
        shown.push_str(&normal_piece(&piece));
    }
    let mut text = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for (age, word) in [("Less than a second", "<age>"), ("About a minute", "<age>"), ("About an hour", "<age>")] {
        text = text.replace(age, word);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let mut out: Vec<String> = Vec::new();
    for word in &words {
        let unit = word.trim_end_matches(['"', ',']);
        let counted = out.last().is_some_and(|last| last.trim_start_matches('"').parse::<u32>().is_ok());
        if counted && matches!(unit, "second" | "seconds" | "minutes" | "hours" | "days" | "weeks" | "months" | "years") {
            let before = out.pop().unwrap_or_default();
            let quote = if before.starts_with('"') { "\"" } else { "" };
            out.push(format!("{quote}<age>{}", &word[unit.len()..]));
        } else {
            out.push((*word).to_owned());
        }
    }
    let text = out.join(" ");
    if command.has("top") { top(&text) } else { text }
}

/// Letters and digits together, all else alone.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut inside = false;
    for letter in line.chars() {
        let part = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | ':' | '%' | '+');
        match (part && inside, pieces.last_mut()) {
            (true, Some(last)) => last.push(letter),
            _ => pieces.push(letter.to_string()),
        }
        inside = part;
    }
    pieces
}

fn normal_piece(piece: &str) -> String {
    let (head, tail) = match piece.strip_prefix("sha256:") {
        Some(rest) => ("sha256:", rest),
        None => ("", piece),
    };
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if matches!(tail.len(), 12 | 64) && hexadecimal(tail) {
        return format!("{head}<id{}>", tail.len());
    }
    let date = piece.len() >= 10 && piece.as_bytes()[4] == b'-' && piece.as_bytes()[7] == b'-' && piece[..4].parse::<u32>().is_ok();
    let clock = piece.len() >= 8 && piece.as_bytes()[2] == b':' && piece.as_bytes()[5] == b':' && piece[..2].parse::<u32>().is_ok();
    if date || clock {
        return if date { "<time>".to_owned() } else { String::new() };
    }
    let number = piece.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == '%');
    let unit = &piece[number.len()..];
    let sized = matches!(unit, "B" | "kB" | "MB" | "GB" | "KiB" | "MiB" | "GiB" | "%");
    if sized && number.parse::<f64>().is_ok() {
        return if unit == "%" { "<share>" } else { "<size>" }.to_owned();
    }
    piece.to_owned()
}

/// A line of `top` without numbers of processes.
fn top(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 3..=6 {
        if let Some(word) = words.get_mut(at)
            && word.starts_with(|letter: char| letter.is_ascii_digit() || letter == '<')
        {
            *word = "<n>";
        }
    }
    words.join(" ")
}
