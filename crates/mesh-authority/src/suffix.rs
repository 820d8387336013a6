//! Names below which anybody may have one: no authority is for all of what is there. Pure.
//!
//! A short list, not the whole of what is public: registries of countries follow a pattern, and of the houses that give
//! names away the well-known ones are here. Absent on purpose: names without a dot, which are in no scope anyway.

/// What registries of countries have their second level for, as `co.uk` and `com.au`.
const SECOND_LEVELS: [&str; 30] = [
    "ac", "asn", "co", "com", "edu", "firm", "gen", "go", "gob", "gouv", "gov", "govt", "gub", "ind", "info",
    "kr", "ltd", "me", "mil", "ne", "net", "nhs", "nom", "or", "org", "plc", "police", "sch", "school",
    "web",
];
/// Houses below whose names customers have theirs.
const HOUSES: [&str; 32] = [
    "amazonaws.com",
    "appspot.com",
    "azurewebsites.net",
    "blogspot.com",
    "cloudfront.net",
    "ddns.net",
    "deno.dev",
    "duckdns.org",
    "dyndns.org",
    "eu.org",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "loca.lt",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.app",
    "ngrok.io",
    "nip.io",
    "no-ip.org",
    "onrender.com",
    "pages.dev",
    "railway.app",
    "run.app",
    "s3.amazonaws.com",
    "sslip.io",
    "trycloudflare.com",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Whether everybody may have names below this one, which is in small letters.
pub(crate) fn is_public(name: &str) -> bool {
    let of_country = name.split_once('.').is_some_and(|(second, country)| {
        country.len() == 2 && !country.contains('.') && SECOND_LEVELS.contains(&second)
    });
    of_country || HOUSES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_everybody_is_told_from_what_belongs_to_somebody() {
        for (name, want) in [
            ("co.uk", true),
            ("com.au", true),
            ("ac.jp", true),
            ("github.io", true),
            ("nip.io", true),
            ("shop.co.uk", false),
            ("mine.github.io", false),
            ("10.0.0.1.nip.io", false),
            ("shop.example", false),
            ("co.example", false),
            ("shop.de", false),
            ("com.a.b", false),
        ] {
            assert_eq!(is_public(name), want, "{name}");
        }
    }
}
