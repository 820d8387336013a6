//! What the server is told at its start.

use std::path::PathBuf;

/// Shown where an option is not understood.
pub(crate) const USAGE: &str = "Usage: whoami [--port 80] [--name NAME] [--verbose] [--allowed-origins '*']
              [--cert FILE --key FILE [--cacert FILE]]
Variables: WHOAMI_PORT_NUMBER, WHOAMI_NAME, WHOAMI_ALLOWED_ORIGINS
";

/// The options; each may begin with one hyphen or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) name: String,
    pub(crate) verbose: bool,
    pub(crate) allowed_origins: String,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Authorities of clients, which must show a certificate then.
    pub(crate) authorities: Option<PathBuf>,
}

/// Why they were not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("whoami has no option {0:?}")]
    Unknown(String),
    #[error("option {0} needs a value")]
    NoValue(String),
    #[error("{0:?} is no port")]
    Port(String),
}

impl Options {
    pub(crate) fn parse(
        arguments: &[String],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, OptionError> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let port = |text: String| text.parse().map_err(|_| OptionError::Port(text));
        let mut options = Self {
            port: given("WHOAMI_PORT_NUMBER").map_or(Ok(80), port)?,
            name: given("WHOAMI_NAME").unwrap_or_default(),
            verbose: false,
            allowed_origins: given("WHOAMI_ALLOWED_ORIGINS").unwrap_or_else(|| "*".to_owned()),
            certificate: None,
            key: None,
            authorities: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let unknown = || OptionError::Unknown(argument.clone());
            let flag =
                argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).ok_or_else(unknown)?;
            let (name, joined) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if name == "verbose" {
                options.verbose = joined.is_none_or(|value| is_true(&value));
                continue;
            }
            let mut value = || {
                joined
                    .clone()
                    .or_else(|| rest.next().cloned())
                    .ok_or_else(|| OptionError::NoValue(argument.clone()))
            };
            match name {
                "port" => options.port = port(value()?)?,
                "name" => options.name = value()?,
                "allowed-origins" => options.allowed_origins = value()?,
                "cert" => options.certificate = Some(value()?.into()),
                "key" => options.key = Some(value()?.into()),
                "cacert" => options.authorities = Some(value()?.into()),
                _ => return Err(unknown()),
            }
        }
        Ok(options)
    }
}

/// What Go's `strconv.ParseBool` takes for true.
pub(crate) fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, OptionError> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Options::parse(&words, &|name| (name == "WHOAMI_NAME").then(|| "variable".to_owned()))
    }

    #[test]
    fn options_win_over_variables() {
        let options = parse(&["-port", "8080", "--verbose", "--cert=/c"]).unwrap();
        assert_eq!((options.port, options.name.as_str(), options.verbose), (8080, "variable", true));
        assert_eq!(options.certificate, Some("/c".into()));
        assert_eq!(parse(&["--name=x"]).unwrap().name, "x");
        assert_eq!(parse(&["--port", "x"]), Err(OptionError::Port("x".to_owned())));
        assert_eq!(parse(&["--nope"]), Err(OptionError::Unknown("--nope".to_owned())));
        assert_eq!(parse(&["--key"]), Err(OptionError::NoValue("--key".to_owned())));
    }
}
