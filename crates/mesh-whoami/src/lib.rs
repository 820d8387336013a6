//! A server that tells what it was asked and by whom: what stands behind a gateway to show the way through it.
//!
//! Its contract is that of the image `traefik/whoami`: `/`, `/api`, `/bench`, `/data`, `/echo` and `/health`, its
//! options and its variables. What differs: what a caller may have it wait for or send is bounded.

mod answer;
mod options;
mod query;
mod server;

use std::io::{self, Write as _};

/// Runs the server with its arguments until it is told to end; the exit code.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let variable = |name: &str| std::env::var(name).ok();
    let outcome = match options::Options::parse(arguments, &variable) {
        Ok(options) => server::run(options),
        Err(error) => {
            say(&format!("{error}\n{}", options::USAGE));
            return 2;
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            say(&format!("{error}{cause}\n"));
            1
        }
    }
}

/// Its log; without a reader there is nobody to tell.
fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
