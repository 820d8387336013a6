//! `WWW-Authenticate`: what a registry that refused wants to see (RFC 9110, section 11.6.1).

use hyper::{HeaderMap, header::WWW_AUTHENTICATE};

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from a token server.
    Bearer {
        /// The token server's address.
        realm: String,
        /// What the registry calls itself there.
        service: Option<String>,
        /// What is asked for.
        scope: Option<String>,
    },
}

/// Longest header looked at, in bytes.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// The best of an answer's challenges: a bearer's, if there is one.
pub(crate) fn read(headers: &HeaderMap) -> Option<Challenge> {
    let mut found = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        if text.len() > HEADER_BYTES_MAX {
            continue;
        }
        for challenge in Reader(text).challenges() {
            match challenge {
                Challenge::Bearer { .. } => return Some(challenge),
                Challenge::Basic => found = Some(challenge),
            }
        }
    }
    found
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn challenges(mut self) -> Vec<Challenge> {
        let mut found = Vec::new();
        let mut open: Option<(String, Vec<(String, String)>)> = None;
        while let Some(word) = self.word() {
            self.blanks();
            if self.0.starts_with('=') {
                self.0 = &self.0[1..];
                self.blanks();
                let Some(value) = self.value() else { break };
                if let Some((_, parameters)) = &mut open {
                    parameters.push((word.to_ascii_lowercase(), value));
                }
            } else if let Some(done) = open.replace((word.to_ascii_lowercase(), Vec::new())) {
                found.extend(challenge(done));
            }
        }
        found.extend(open.and_then(challenge));
        found
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn word(&mut self) -> Option<String> {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
        let end = self.0.find([' ', '\t', ',', '=', '"']).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.word() };
        let mut value = String::new();
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.0 = &quoted[at + 1..];
                    return Some(value);
                }
                c => value.push(c),
            }
        }
        None
    }
}

fn challenge((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let get = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .filter(|v| !v.is_empty())
    };
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, header.parse().unwrap());
        let told = match read(&headers) {
            None => "none".to_owned(),
            Some(Challenge::Basic) => "basic".to_owned(),
            Some(Challenge::Bearer { realm, service, scope }) => {
                format!("{realm} {} {}", service.unwrap_or_default(), scope.unwrap_or_default())
            }
        };
        assert_eq!(told, expected, "{header}");
    }

    #[test]
    fn challenges_are_read() {
        check(
            r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#,
            "https://auth.example/token r repository:a/b:pull,push",
        );
        check(r#"bearer  Realm = "https://a/t" , service=r"#, "https://a/t r ");
        check(r#"Basic realm="x", Bearer realm="https://a/t""#, "https://a/t  ");
        check(r#"Basic realm="a \"b\", Bearer realm=\"c\"""#, "basic");
        check("Basic", "basic");
        check(r#"Digest realm="x""#, "none");
        check(r#"Bearer service="x""#, "none");
        check(r#"Bearer realm="unfinished"#, "none");
        check("", "none");
        check(&format!("Bearer realm=\"{}\"", "x".repeat(9000)), "none");
    }
}
