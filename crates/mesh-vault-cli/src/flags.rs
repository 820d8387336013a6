//! Flags as Go's `flag` package reads them: `-name`, `--name`, `-name=value`, `-name value`; up to the first
//! argument that is none.

use crate::duration::Duration;
use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `=true`, `=false`.
    Switch,
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A time: `30s`, `1h`, seconds.
    Time,
    /// A text each time it is given.
    List,
    /// `key=value` each time it is given.
    Pairs,
}

/// A flag: its names, the first of which it is asked by, and what it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) names: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) usage: &'static str,
}

/// A flag in a table.
pub(crate) const fn flag(names: &'static [&'static str], kind: Kind, usage: &'static str) -> Flag {
    Flag { names, kind, usage }
}

/// Flags that were given.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: BTreeMap<&'static str, Vec<String>>,
}

impl Flags {
    /// Reads flags off the front of the arguments; gives what is left.
    pub(crate) fn parse(known: &[&[Flag]], arguments: &[String]) -> Result<(Self, Vec<String>), String> {
        let mut flags = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.as_slice().first() {
            let Some(text) = argument.strip_prefix('-').filter(|text| !text.is_empty()) else { break };
            rest.next();
            if text == "-" {
                break;
            }
            let text = text.strip_prefix('-').unwrap_or(text);
            if text.is_empty() || text.starts_with(['-', '=']) {
                return Err(format!("bad flag syntax: {argument}"));
            }
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            let found = known.iter().flat_map(|group| group.iter()).find(|flag| flag.names.contains(&name));
            let Some(flag) = found else {
                let wants_help = matches!(name, "h" | "help");
                let text = if wants_help { HELP_WANTED.to_owned() } else { undefined(name) };
                return Err(text);
            };
            let value = match (value, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Switch) => "true".to_owned(),
                (None, _) => {
                    rest.next().cloned().ok_or_else(|| format!("flag needs an argument: -{name}"))?
                }
            };
            flags.add(flag, name, value)?;
        }
        Ok((flags, rest.cloned().collect()))
    }

    fn add(&mut self, flag: &Flag, name: &str, value: String) -> Result<(), String> {
        let why = match flag.kind {
            Kind::Switch => truth(&value).is_none().then(|| "parse error".to_owned()),
            Kind::Number => value.parse::<i64>().is_err().then(|| "parse error".to_owned()),
            Kind::Time => Duration::parse(&value).err(),
            Kind::Pairs => (!value.contains('=')).then(|| format!("missing = in KV pair: {value:?}")),
            Kind::Text | Kind::List => None,
        };
        if let Some(why) = why {
            return Err(match flag.kind {
                Kind::Switch => format!("invalid boolean value {value:?} for -{name}: {why}"),
                _ => format!("invalid value {value:?} for flag -{name}: {why}"),
            });
        }
        self.given.entry(flag.names[0]).or_default().push(value);
        Ok(())
    }

    fn last(&self, name: &str) -> Option<&String> {
        self.given.get(name)?.last()
    }

    /// Whether a flag was given at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Whether a switch is on.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.last(name).and_then(|text| truth(text)).unwrap_or(false)
    }

    /// The same for a switch that is on unless it is put off.
    pub(crate) fn is_not_off(&self, name: &str) -> bool {
        self.last(name).and_then(|text| truth(text)).unwrap_or(true)
    }

    /// A text; `None` where it was not given, or is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.last(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.last(name)?.parse().ok()
    }

    /// A time.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        Duration::parse(self.last(name)?).ok()
    }

    /// All texts of a list.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.given.get(name).into_iter().flatten().map(|text| text.trim().to_owned()).collect()
    }

    /// All pairs.
    pub(crate) fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        let given = self.given.get(name).into_iter().flatten();
        given.filter_map(|text| text.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }
}

/// The error that stands for `-h`.
pub(crate) const HELP_WANTED: &str = "flag: help requested";

fn undefined(name: &str) -> String {
    format!("flag provided but not defined: -{name}")
}

/// What Go's `strconv.ParseBool` takes.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Flag] = &[
        flag(&["force", "f"], Kind::Switch, ""),
        flag(&["field"], Kind::Text, ""),
        flag(&["n"], Kind::Number, ""),
        flag(&["ttl"], Kind::Time, ""),
        flag(&["policy"], Kind::List, ""),
        flag(&["options"], Kind::Pairs, ""),
    ];

    fn parse(line: &str) -> Result<(Flags, Vec<String>), String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse(&[KNOWN], &words)
    }

    #[test]
    fn flags_stand_before_arguments() {
        let (flags, rest) =
            parse("-f --field=a -n 3 -ttl 1h -policy a -policy=b -options k=v=w x -f").unwrap();
        assert!(flags.is("force") && flags.has("n") && !flags.has("other"));
        assert_eq!((flags.text("field"), flags.number("n")), (Some("a"), Some(3)));
        assert_eq!(flags.time("ttl").unwrap().to_string(), "1h0m0s");
        assert_eq!(flags.list("policy"), ["a", "b"]);
        assert_eq!(flags.pairs("options")["k"], "v=w");
        assert_eq!(rest, ["x", "-f"]);
        assert_eq!(parse("-- -f").unwrap().1, ["-f"]);
        assert_eq!(parse("- -f").unwrap().1, ["-", "-f"]);
        assert!(!parse("-force=false").unwrap().0.is_not_off("force"));
    }

    #[test]
    fn what_is_wrong_is_told_in_words_of_go() {
        for (line, want) in [
            ("-nope", "flag provided but not defined: -nope"),
            ("-field", "flag needs an argument: -field"),
            ("-n x", "invalid value \"x\" for flag -n: parse error"),
            ("-f=maybe", "invalid boolean value \"maybe\" for -f: parse error"),
            ("-options x", "invalid value \"x\" for flag -options: missing = in KV pair: \"x\""),
            ("---f", "bad flag syntax: ---f"),
            ("-h", HELP_WANTED),
        ] {
            assert_eq!(parse(line).unwrap_err(), want);
        }
    }
}
