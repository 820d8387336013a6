//! What two runs print, made comparable: ids, times and sizes become words, and what comes in any order is
//! sorted.

use serde_json::Value;

/// A command line, and where it ran.
pub(crate) struct Words<'a> {
    pub(crate) line: &'a str,
    pub(crate) directory: &'a str,
}

impl Words<'_> {
    fn has(&self, word: &str) -> bool {
        self.line.split(' ').any(|other| other == word)
    }
}

/// Standard output without what differs from run to run.
pub(crate) fn normal(command: &Words<'_>, stdout: &str) -> String {
    let stdout = without_sources(stdout);
    // Health tests are made at another pace.
    let tested = stdout.contains("health_status");
    let mut lines: Vec<String> =
        stdout.lines().filter_map(|line| normal_line(command, line, tested)).collect();
    // Docker's tools print these in the order in which they hear of them.
    if ["logs", "events", "wait", "stats", "up"].iter().any(|verb| command.has(verb)) {
        lines.sort();
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// What standard error says is wrong, without what Mesh puts around it.
pub(crate) fn reason(command: &Words<'_>, stderr: &str) -> String {
    let told = stderr.lines().find_map(|line| line.strip_prefix("error: "));
    let told = told.or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty()));
    normal_words(command, told.unwrap_or_default())
}

/// Mesh's column that says what stands in for an image.
fn without_sources(stdout: &str) -> String {
    let header = stdout.lines().next().unwrap_or_default();
    let Some(at) = header.strip_suffix("SOURCE").map(|rest| rest.chars().count()) else {
        return stdout.to_owned();
    };
    let cut = |line: &str| line.chars().take(at).collect::<String>().trim_end().to_owned() + "\n";
    stdout.lines().map(cut).collect()
}

/// `tested`: health tests are told among the events.
fn normal_line(command: &Words<'_>, line: &str, tested: bool) -> Option<String> {
    if let Ok(mut document @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(line) {
        let action = document["action"].as_str().unwrap_or_default();
        if ["top", "attach", "resize"].iter().any(|noise| action.starts_with(noise))
            || (tested && action.starts_with("exec_"))
        {
            return None;
        }
        sort(command, &mut document);
        return Some(normal_words(command, &document.to_string()));
    }
    if let Some(text) = line.strip_prefix("labels: ") {
        return Some(normal_words(command, &format!("labels: {}", labels(text))));
    }
    if let Some((head, attributes)) = line.strip_suffix(')').and_then(|line| line.rsplit_once(" ("))
        && command.has("events")
        && !(tested && line.contains(" container exec_"))
    {
        return Some(normal_words(command, &format!("{head} ({})", labels(&attributes.replace(", ", ",")))));
    }
    if (tested && line.contains(" container exec_"))
        || line.contains(" container top ")
        || line.contains(" container attach ")
    {
        return None;
    }
    Some(normal_words(command, line))
}

/// Orders what has no order, and drops the key that Mesh adds.
fn sort(command: &Words<'_>, document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.shift_remove("Source");
            for (key, value) in fields.iter_mut() {
                // The images of the two sides differ in size, and their volumes in place.
                if key == "Size" && value.is_number() || key == "Mountpoint" {
                    *value = Value::Null;
                }
                if let ("RunningFor" | "Status", Value::String(text)) = (key.as_str(), &mut *value) {
                    *text = normal_words(command, text);
                }
                if let ("Labels" | "Mounts" | "Networks", Value::String(text)) = (key.as_str(), &mut *value) {
                    *text = labels(text);
                }
                sort(command, value);
            }
        }
        Value::Array(values) => {
            values.iter_mut().for_each(|value| sort(command, value));
            if values.iter().all(|value| value.get("ContainerName").is_some()) {
                values.sort_by_key(|value| value["ContainerName"].to_string());
            }
        }
        _ => {}
    }
}

/// Labels, mounts or networks in order, without what the two sides must call by other names.
fn labels(text: &str) -> String {
    let mut parts: Vec<&str> = text.split(',').collect();
    for part in &mut parts {
        if part.starts_with("com.docker.compose.version=") {
            *part = "com.docker.compose.version=";
        }
    }
    parts.retain(|part| !part.starts_with("com.docker.compose.config-hash="));
    parts.sort_unstable();
    parts.join(",")
}

/// Words of a line, with what differs from run to run replaced and spaces between columns made one.
fn normal_words(command: &Words<'_>, line: &str) -> String {
    // A terminal's own words, and what only one of the two says before it begins.
    let line = line.replace("\u{1b}[K", "").replace(command.directory, "<directory>");
    if command.has("up") && line.starts_with("Attaching to ") {
        return String::new();
    }
    let mut shown = String::new();
    for piece in pieces(&line) {
        shown.push_str(&normal_piece(&piece));
    }
    let mut text = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for (age, word) in
        [("Less than a second", "<age>"), ("About a minute", "<age>"), ("About an hour", "<age>")]
    {
        text = text.replace(age, word);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let mut out: Vec<String> = Vec::new();
    for word in &words {
        let unit = word.trim_end_matches(['"', ',']);
        let counted = out.last().is_some_and(|last| last.trim_start_matches('"').parse::<u32>().is_ok());
        if counted
            && matches!(
                unit,
                "second" | "seconds" | "minutes" | "hours" | "days" | "weeks" | "months" | "years"
            )
        {
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
    let hexadecimal =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if matches!(tail.len(), 12 | 64) && hexadecimal(tail) {
        return format!("{head}<id{}>", tail.len());
    }
    let date = piece.len() >= 10
        && piece.as_bytes()[4] == b'-'
        && piece.as_bytes()[7] == b'-'
        && piece[..4].parse::<u32>().is_ok();
    let clock = piece.len() >= 8
        && piece.as_bytes()[2] == b':'
        && piece.as_bytes()[5] == b':'
        && piece[..2].parse::<u32>().is_ok();
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
