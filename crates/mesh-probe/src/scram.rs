//! SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: a password is proven and not sent.
//!
//! The name in it is empty, as PostgreSQL takes that of the session. Passwords are taken byte by byte: what
//! SASLprep would change in those that are not ASCII is left as it is.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand::SecureRandom as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_redact::Secret;
use std::num::NonZeroU32;

/// Its name.
pub(crate) const NAME: &str = "SCRAM-SHA-256";
/// Bytes of randomness of the nonce.
const NONCE_BYTES: usize = 18;
/// Most iterations that are made for a server; PostgreSQL's own default is 4096.
const ITERATIONS_MAX: u32 = 200_000;
/// `n,,` in base64: no channel binding.
const BINDING: &str = "biws";

/// One exchange.
pub(crate) struct Exchange {
    nonce: String,
    proof_of_server: Option<hmac::Tag>,
}

impl Exchange {
    pub(crate) fn new() -> Result<Self, &'static str> {
        let mut bytes = [0; NONCE_BYTES];
        let filled = aws_lc_rs::rand::SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| "this machine gives no random bytes to answer it with")?;
        Ok(Self { nonce: STANDARD.encode(bytes), proof_of_server: None })
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,n=,r={}", self.nonce)
    }

    /// The client's last message, after the server's first.
    pub(crate) fn answer(
        &mut self,
        challenge: &[u8],
        password: &Secret<Vec<u8>>,
    ) -> Result<String, &'static str> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "its SCRAM is no text")?;
        let field = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or("its SCRAM does not go on with our nonce")?;
        let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("its SCRAM has no salt")?;
        let iterations = field("i=").and_then(|text| text.parse::<NonZeroU32>().ok());
        let iterations = iterations.filter(|count| count.get() <= ITERATIONS_MAX);
        let iterations = iterations.ok_or("its SCRAM wants more iterations than are made")?;

        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.expose(), &mut salted);
        let sign =
            |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        let client_key = sign(&salted, "Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let without_proof = format!("c={BINDING},r={nonce}");
        let whole = format!("n=,r={},{challenge},{without_proof}", self.nonce);
        let signature = sign(stored_key.as_ref(), &whole);
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = sign(&salted, "Server Key");
        self.proof_of_server = Some(sign(server_key.as_ref(), &whole));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server's last message proves that it knows the password too.
    pub(crate) fn is_proven_by(&self, last: &[u8]) -> bool {
        let said = std::str::from_utf8(last).ok().and_then(|text| text.strip_prefix("v="));
        let said = said.and_then(|text| STANDARD.decode(text.trim_end_matches('\0')).ok());
        match (said, &self.proof_of_server) {
            (Some(said), Some(tag)) => constant_time::verify_slices_are_equal(&said, tag.as_ref()).is_ok(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, whose user is left out of the exchange here; so the proofs are our own, and the
    /// server's half is made with the same functions the other way round.
    #[test]
    fn both_sides_prove_the_password() {
        let password = Secret::new(b"pencil".to_vec());
        let mut exchange = Exchange { nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(), proof_of_server: None };
        assert_eq!(exchange.first(), "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = exchange.answer(challenge, &password).unwrap();
        assert!(answer.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="));
        let tag = STANDARD.encode(exchange.proof_of_server.as_ref().unwrap());
        assert!(exchange.is_proven_by(format!("v={tag}").as_bytes()));
        assert!(!exchange.is_proven_by(b"v=AAAA") && !exchange.is_proven_by(b"e=other"));
    }

    #[test]
    fn a_strange_challenge_is_refused() {
        let password = Secret::new(b"p".to_vec());
        for challenge in
            ["", "r=other,s=AAAA,i=1", "r=N,s=!,i=1", "r=N,s=AAAA,i=0", "r=N,s=AAAA,i=200001", "r=N,i=1"]
        {
            let mut exchange = Exchange { nonce: "N".to_owned(), proof_of_server: None };
            assert!(exchange.answer(challenge.as_bytes(), &password).is_err(), "{challenge}");
        }
        let mut exchange = Exchange::new().unwrap();
        assert!(exchange.answer(b"\xFF", &password).is_err());
    }
}
