//! Passwords: hashed with bcrypt, compared in a time that tells nothing.

use crate::logical::{Fields, Refusal};

/// The work that Go's default asks for; tests have other things to do.
const COST: u32 = if cfg!(test) { 4 } else { 10 };
/// What bcrypt looks at.
const BYTES_MAX: usize = 72;
/// Costs that a hash may have that comes from outside.
const COST_ALLOWED: std::ops::RangeInclusive<u32> = 5..=12;
/// The hash of a password that nobody has, for users that do not exist.
const NOBODY: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// The hash of the password in a body, given as `password` or, hashed already, as `password_hash`.
pub(super) fn given_hash(fields: Fields<'_>) -> Result<Option<String>, Refusal> {
    let password = fields.string("password")?.filter(|password| !password.is_empty());
    let hash = fields.string("password_hash")?.filter(|hash| !hash.is_empty());
    match (password, hash) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::invalid("only one of password or password_hash may be provided")),
        (Some(password), None) => made(&password).map(Some),
        (None, Some(hash)) => checked(hash).map(Some),
    }
}

fn made(password: &str) -> Result<String, Refusal> {
    if password.len() > BYTES_MAX {
        return Err(Refusal::failed(format!("bcrypt: password length exceeds {BYTES_MAX} bytes")));
    }
    bcrypt::hash(password, COST).map_err(|source| Refusal::Internal {
        attempted: "could not hash the password".to_owned(),
        source: Some(Box::new(source)),
    })
}

fn checked(hash: String) -> Result<String, Refusal> {
    let cost = hash.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
    let (Some(cost), Ok(_)) = (cost, hash.parse::<bcrypt::HashParts>()) else {
        return Err(Refusal::invalid("password_hash is not a valid bcrypt hash"));
    };
    if COST_ALLOWED.contains(&cost) {
        return Ok(hash);
    }
    let (least, most) = (COST_ALLOWED.start(), COST_ALLOWED.end());
    Err(Refusal::invalid(if cost < *least {
        format!("bcrypt cost of {cost} is too low, want {least} at minimum")
    } else {
        format!("bcrypt cost of {cost} exceeds maximum cost of {most}")
    }))
}

/// Whether it is the password. Without a hash it is not, after as long a time.
pub(super) fn matches(password: &str, hash: Option<&str>) -> bool {
    // What is past the limit would be cut off, and so be equal to another password.
    let (cut, whole) = match password.as_bytes().get(..BYTES_MAX + 1) {
        Some(_) => (&password.as_bytes()[..BYTES_MAX], false),
        None => (password.as_bytes(), true),
    };
    let equal = bcrypt::verify(cut, hash.unwrap_or(NOBODY)).unwrap_or(false);
    equal && whole && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::{NOBODY, checked, made, matches};

    #[test]
    fn passwords() {
        let hash = made("correct horse").unwrap();
        assert!(matches("correct horse", Some(&hash)));
        assert!(!matches("battery staple", Some(&hash)));
        assert!(!matches("correct horse", None));
        let longest = "x".repeat(72);
        let hash = made(&longest).unwrap();
        assert!(matches(&longest, Some(&hash)));
        assert!(!matches(&format!("{longest}y"), Some(&hash)));
        assert!(made(&format!("{longest}y")).is_err());
        assert!(checked(NOBODY.to_owned()).is_ok());
        for hash in ["", "x", "$2b$10$short", "$2b$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"]
        {
            assert!(checked(hash.to_owned()).is_err(), "{hash}");
        }
    }
}
