//! The rule of a container that has none: a template of Go's, as far as such rules have use for it.
//!
//! Text with `{{ … }}` in it: fields (`.Name`, `.ContainerName`, `.Labels`), strings, brackets, pipes and the functions
//! of [`call`]. What is not known is an error, never left as it is. Deliberately absent: `if`, `range`, variables.

use super::labels::Labels;

/// Deepest nesting of brackets in one action.
const DEPTH_LEVELS_MAX: usize = 16;

/// Why there is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("the action {action:?} of the default rule has no end")]
    Open { action: String },
    #[error("the default rule cannot say {what:?} here")]
    Unknown { what: String },
    #[error("{function} of the default rule takes other arguments")]
    Arguments { function: String },
    #[error("the default rule is nested too deep")]
    TooDeep,
}

/// What a template may speak of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'s> {
    pub(crate) name: &'s str,
    pub(crate) container_name: &'s str,
    pub(crate) labels: &'s Labels,
}

enum Value<'s> {
    Text(String),
    Labels(&'s Labels),
}

/// The rule that a template makes of a container.
pub(crate) fn render(template: &str, subject: Subject<'_>) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, action)) = rest.split_once("{{") {
        let open = || TemplateError::Open { action: action.to_owned() };
        let (action, after) = action.split_once("}}").ok_or_else(open)?;
        let (trim_before, action) = match action.strip_prefix("- ") {
            Some(action) => (true, action),
            None => (false, action),
        };
        let (trim_after, action) = match action.strip_suffix(" -") {
            Some(action) => (true, action),
            None => (false, action),
        };
        out.push_str(if trim_before { before.trim_end() } else { before });
        rest = if trim_after { after.trim_start() } else { after };
        let mut words = Words { rest: action, subject, depth: 0 };
        match words.pipeline()? {
            Value::Text(text) if words.rest.trim().is_empty() => out.push_str(&text),
            _ => return Err(TemplateError::Unknown { what: action.trim().to_owned() }),
        }
    }
    out.push_str(rest);
    Ok(out)
}

struct Words<'t, 's> {
    rest: &'t str,
    subject: Subject<'s>,
    depth: usize,
}

impl<'s> Words<'_, 's> {
    fn pipeline(&mut self) -> Result<Value<'s>, TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_LEVELS_MAX {
            return Err(TemplateError::TooDeep);
        }
        let mut value = self.command(None)?;
        while let Some(rest) = self.rest.trim_start().strip_prefix('|') {
            self.rest = rest;
            value = self.command(Some(value))?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn command(&mut self, piped: Option<Value<'s>>) -> Result<Value<'s>, TemplateError> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(self.rest.len());
        let (function, rest) = self.rest.split_at(end);
        if function.is_empty() {
            return self.operand()?.ok_or_else(|| TemplateError::Unknown { what: self.rest.to_owned() });
        }
        self.rest = rest;
        let mut arguments = Vec::new();
        while let Some(argument) = self.operand()? {
            arguments.push(argument);
        }
        arguments.extend(piped);
        call(function, &arguments)
    }

    /// What can be given to a function; none at the end of the command.
    fn operand(&mut self) -> Result<Option<Value<'s>>, TemplateError> {
        self.rest = self.rest.trim_start();
        let unknown = |what: &str| TemplateError::Unknown { what: what.to_owned() };
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            '|' | ')' => Ok(None),
            '(' => {
                self.rest = &self.rest[1..];
                let value = self.pipeline()?;
                self.rest = self.rest.trim_start().strip_prefix(')').ok_or_else(|| unknown("("))?;
                Ok(Some(value))
            }
            '"' | '`' => {
                let (text, rest) = self.rest[1..].split_once(first).ok_or_else(|| unknown(self.rest))?;
                if first == '"' && text.contains('\\') {
                    return Err(unknown(text));
                }
                self.rest = rest;
                Ok(Some(Value::Text(text.to_owned())))
            }
            '.' => {
                let end = self.rest[1..]
                    .find(|c: char| !c.is_alphanumeric())
                    .map_or(self.rest.len(), |end| end + 1);
                let (field, rest) = self.rest.split_at(end);
                let value = match field {
                    ".Name" => Value::Text(self.subject.name.to_owned()),
                    ".ContainerName" => Value::Text(self.subject.container_name.to_owned()),
                    ".Labels" => Value::Labels(self.subject.labels),
                    field => return Err(unknown(field)),
                };
                self.rest = rest;
                Ok(Some(value))
            }
            _ => Err(unknown(self.rest)),
        }
    }
}

/// The functions: Go's `index`, Traefik's `normalize`, and of Sprig's those that names and labels are mended with.
fn call<'s>(function: &str, arguments: &[Value<'s>]) -> Result<Value<'s>, TemplateError> {
    let wrong = || TemplateError::Arguments { function: function.to_owned() };
    if let ("index", [Value::Labels(labels), Value::Text(key)]) = (function, arguments) {
        return Ok(Value::Text(labels.get(key).cloned().unwrap_or_default()));
    }
    let text = |value: &Value<'_>| match value {
        Value::Text(text) => Some(text.clone()),
        Value::Labels(_) => None,
    };
    let texts: Vec<String> = arguments.iter().map(text).collect::<Option<_>>().ok_or_else(wrong)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let made = match (function, &texts[..]) {
        ("normalize", [text]) => normalize(text),
        ("lower", [text]) => text.to_lowercase(),
        ("upper", [text]) => text.to_uppercase(),
        ("trim", [text]) => text.trim().to_owned(),
        ("trimPrefix", [prefix, text]) => text.strip_prefix(prefix).unwrap_or(text).to_owned(),
        ("trimSuffix", [suffix, text]) => text.strip_suffix(suffix).unwrap_or(text).to_owned(),
        ("trimAll", [signs, text]) => text.trim_matches(|c| signs.contains(c)).to_owned(),
        ("replace", [old, new, text]) => text.replace(old, new),
        ("default", [other, text]) => if text.is_empty() { other } else { text }.to_string(),
        ("coalesce", texts) => texts.iter().find(|text| !text.is_empty()).unwrap_or(&"").to_string(),
        ("print", texts) => texts.concat(),
        (
            "normalize" | "lower" | "upper" | "trim" | "trimPrefix" | "trimSuffix" | "trimAll" | "replace"
            | "default" | "index",
            _,
        ) => return Err(wrong()),
        (function, _) => return Err(TemplateError::Unknown { what: function.to_owned() }),
    };
    Ok(Value::Text(made))
}

/// A name of letters and digits, with one hyphen for whatever else stands between them.
pub(crate) fn normalize(name: &str) -> String {
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_become_rules() {
        let labels: Labels = [("com.docker.compose.service".to_owned(), "api".to_owned())].into();
        let subject = Subject { name: "api_shop", container_name: "shop-api-1", labels: &labels };
        for (template, expected) in [
            ("Host(`{{ normalize .Name }}`)", "Host(`api-shop`)"),
            ("Host(`{{ .Name | normalize | upper }}.x`)", "Host(`API-SHOP.x`)"),
            ("{{ index .Labels \"com.docker.compose.service\" }}", "api"),
            ("{{ index .Labels `no` | default (trimPrefix \"shop-\" .ContainerName) }}", "api-1"),
            ("a {{- lower \"B\" -}} c", "abc"),
            ("plain", "plain"),
        ] {
            assert_eq!(render(template, subject).as_deref(), Ok(expected), "{template}");
        }
        for template in [
            "{{ .Toto }}",
            "{{ .Name",
            "{{ range .Labels }}",
            "{{ .Labels }}",
            "{{ lower }}",
            "{{ }}",
            "{{ .Name .Name }}",
        ] {
            assert!(render(template, subject).is_err(), "{template}");
        }
        assert_eq!(normalize("a.b_c--d"), "a-b-c-d");
    }
}
