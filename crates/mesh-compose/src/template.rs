//! Substitution of variables in one text: `$A ${A} ${A:-b} ${A-b} ${A:?m} ${A?m} ${A:+b} ${A+b} $$`,
//! nested to any sensible depth. Pure: what a name stands for comes from the caller.

/// Deepest nesting of `${...}` in one text.
const NESTING_LEVELS_MAX: usize = 32;
/// Largest text one substitution may produce, in bytes.
pub(crate) const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What goes wrong in one text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// Not one of the forms.
    #[error("`{form}` is not a valid variable reference")]
    Invalid { form: String },
    /// `:?` or `?` with nothing set.
    #[error("required variable {name} is missing a value{}{message}", if message.is_empty() { "" } else { ": " })]
    Required { name: String, message: String },
    /// Nested too deep.
    #[error("variables are nested deeper than {NESTING_LEVELS_MAX} levels")]
    TooDeep,
    /// Too long.
    #[error("the value grows past {OUTPUT_BYTES_MAX} bytes")]
    TooLong,
}

/// What a text says of one variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use<'t> {
    /// `$A`, `${A}`.
    Plain,
    /// `${A:-word}`, `${A-word}`.
    Default(&'t str),
    /// `${A:+word}`, `${A+word}`.
    Alternate(&'t str),
    /// `${A:?word}`, `${A?word}`.
    Required,
}

/// What variables stand for, and who hears of their use.
pub(crate) trait Variables {
    /// The value of `name`.
    fn value(&mut self, name: &str) -> Option<String>;
    /// Called for every variable that stands in a text.
    fn used(&mut self, _name: &str, _use: Use<'_>) {}
    /// Called for a variable without value and without default.
    fn unset(&mut self, name: &str);
}

/// `text` with its variables replaced.
pub(crate) fn substitute(text: &str, variables: &mut dyn Variables) -> Result<String, TemplateError> {
    expand(text, variables, 0)
}

fn expand(text: &str, variables: &mut dyn Variables, depth: usize) -> Result<String, TemplateError> {
    if depth > NESTING_LEVELS_MAX {
        return Err(TemplateError::TooDeep);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inside) = after.strip_prefix('{') {
            let Some(end) = closing_brace(inside) else {
                return Err(TemplateError::Invalid { form: excerpt(&rest[dollar..]) });
            };
            out.push_str(&braced(&inside[..end], variables, depth)?);
            rest = &inside[end + 1..];
        } else {
            let length = name_length(after);
            if length == 0 {
                out.push('$');
            } else {
                variables.used(&after[..length], Use::Plain);
                out.push_str(&plain(&after[..length], variables));
            }
            rest = &after[length..];
        }
        if out.len() > OUTPUT_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn plain(name: &str, variables: &mut dyn Variables) -> String {
    variables.value(name).unwrap_or_else(|| {
        variables.unset(name);
        String::new()
    })
}

fn braced(inside: &str, variables: &mut dyn Variables, depth: usize) -> Result<String, TemplateError> {
    let invalid = || TemplateError::Invalid { form: excerpt(&format!("${{{inside}}}")) };
    let length = name_length(inside);
    let (name, form) = inside.split_at(length);
    if name.is_empty() {
        return Err(invalid());
    }
    if form.is_empty() {
        variables.used(name, Use::Plain);
        return Ok(plain(name, variables));
    }
    let (empty_counts, operator) = form.strip_prefix(':').map_or((false, form), |operator| (true, operator));
    let mut operator_and_word = operator.chars();
    let operator = operator_and_word.next();
    let word = operator_and_word.as_str();
    let value = variables.value(name);
    let missing = value.as_deref().is_none_or(|value| empty_counts && value.is_empty());
    match operator {
        Some('-') => {
            variables.used(name, Use::Default(word));
            if missing { expand(word, variables, depth + 1) } else { Ok(value.unwrap_or_default()) }
        }
        Some('+') => {
            variables.used(name, Use::Alternate(word));
            if missing { Ok(String::new()) } else { expand(word, variables, depth + 1) }
        }
        Some('?') => {
            variables.used(name, Use::Required);
            if missing {
                let message = expand(word, variables, depth + 1)?;
                return Err(TemplateError::Required { name: name.to_owned(), message });
            }
            Ok(value.unwrap_or_default())
        }
        _ => Err(invalid()),
    }
}

/// Length of the variable name that `text` starts with.
fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

/// Index of the brace that closes; braces inside count, so that a default may be JSON. Where they do
/// not match up, the first one closes.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (index, byte) in inside.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(index),
            b'}' => open -= 1,
            _ => {}
        }
    }
    inside.find('}')
}

fn excerpt(form: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    let line = form.lines().next().unwrap_or_default();
    if line.chars().count() > SHOWN_CHARS_MAX {
        return line.chars().take(SHOWN_CHARS_MAX).chain("...".chars()).collect();
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fixed {
        unset: Vec<String>,
    }

    impl Variables for Fixed {
        fn value(&mut self, name: &str) -> Option<String> {
            match name {
                "A" => Some("a".to_owned()),
                "E" => Some(String::new()),
                "D" => Some("$A".to_owned()),
                _ => None,
            }
        }

        fn unset(&mut self, name: &str) {
            self.unset.push(name.to_owned());
        }
    }

    fn check(text: &str, want: Result<&str, &str>) {
        let got = substitute(text, &mut Fixed::default()).map_err(|error| error.to_string());
        assert_eq!(got, want.map(ToOwned::to_owned).map_err(ToOwned::to_owned), "{text}");
    }

    #[test]
    fn every_form() {
        for (text, want) in [
            ("x", "x"),
            ("$A-$A", "a-a"),
            ("${A}b", "ab"),
            ("$$A $${A}", "$A ${A}"),
            ("$5 $ $", "$5 $ $"),
            ("$D", "$A"),
            ("${U:-d} ${U-d} ${E:-d} ${E-d} ${A:-d} ${A-d}", "d d d  a a"),
            ("${U:+d}|${U+d}|${E:+d}|${E+d}|${A:+d}|${A+d}", "|||d|d|d"),
            ("${U:-${V:-${A}}}/x", "a/x"),
            ("${U:-{\"k\": {\"j\": 1}}}", "{\"k\": {\"j\": 1}}"),
            ("${U:-a:-b}", "a:-b"),
            ("${U-$$A}", "$A"),
            ("${A:?no} ${E?no}", "a "),
            ("${U:-}x", "x"),
            ("${U:-é}", "é"),
        ] {
            check(text, Ok(want));
        }
        check("${U:?set $A}", Err("required variable U is missing a value: set a"));
        check("${E:?}", Err("required variable E is missing a value"));
        for form in ["${", "${}", "${A", "${A!b}", "${A b}", "${1}", "${-x}", "${A:}", "${é}"] {
            check(form, Err(&format!("`{form}` is not a valid variable reference")));
        }
        check(
            &format!("{}{}", "${U:-".repeat(99), "}".repeat(99)),
            Err("variables are nested deeper than 32 levels"),
        );
    }

    #[test]
    fn only_what_has_no_value_and_no_default_counts_as_unset() {
        let mut variables = Fixed::default();
        substitute("$U ${V} ${W:-x} ${X:+y} $E", &mut variables).expect("valid");
        assert_eq!(variables.unset, ["U", "V"]);
    }
}
