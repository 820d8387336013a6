//! The keys that let go of a terminal.
//!
//! The rules are Docker's: a sequence that was begun is held back until it is whole or broken off; what
//! breaks it off is passed on with what was held back, and begins no sequence itself.

/// Begins the argument that names the keys, in hexadecimal digits.
const ARGUMENT: &str = "detach-keys=";

/// Watches what is typed for one sequence of keys. An empty sequence never comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detach {
    keys: Vec<u8>,
    matched: usize,
}

/// What is left of typed bytes once the keys were looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// For the program.
    pub(crate) bytes: Vec<u8>,
    /// The sequence came; what was typed after it is nobody's.
    pub(crate) detached: bool,
}

impl Detach {
    pub(crate) fn new(keys: &[u8]) -> Self {
        Self { keys: keys.to_vec(), matched: 0 }
    }

    /// The keys that are among a shim's arguments, as in `detach-keys=1011`; none where there are none.
    pub(crate) fn among(arguments: &[&str]) -> Self {
        let digits = arguments.iter().find_map(|argument| argument.strip_prefix(ARGUMENT));
        let keys: Option<Vec<u8>> = digits.and_then(|digits| {
            let bytes = digits.as_bytes().chunks(2);
            bytes.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
        });
        Self::new(&keys.unwrap_or_default())
    }

    /// Takes what was typed, and gives what the program is to have of it.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> Typed {
        if self.keys.is_empty() {
            return Typed { bytes: typed.to_vec(), detached: false };
        }
        let mut bytes = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return Typed { bytes, detached: true };
                }
                continue;
            }
            bytes.extend_from_slice(&self.keys[..self.matched]);
            bytes.push(*byte);
            self.matched = 0;
        }
        Typed { bytes, detached: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u8 = 0x10;
    const Q: u8 = 0x11;

    fn check(keys: &[u8], chunks: &[&[u8]], want: &[u8], detached: bool) {
        let mut detach = Detach::new(keys);
        let mut got = Vec::new();
        let mut ended = false;
        for chunk in chunks {
            let typed = detach.filter(chunk);
            got.extend(typed.bytes);
            ended |= typed.detached;
        }
        assert_eq!((got.as_slice(), ended), (want, detached), "{chunks:?}");
    }

    #[test]
    fn a_sequence_is_held_back_until_it_is_whole_or_broken_off() {
        let keys = [P, Q];
        check(&keys, &[b"ls\n"], b"ls\n", false);
        check(&keys, &[&[b'a', P, Q, b'b']], b"a", true);
        check(&keys, &[&[b'a', P], &[Q]], b"a", true);
        check(&keys, &[&[P]], b"", false);
        check(&keys, &[&[P], b"x"], &[P, b'x'], false);
        check(&keys, &[&[P, P], &[Q]], &[P, P, Q], false);
        check(b"x", &[b"max"], b"ma", true);
        check(&[], &[&[P, Q]], &[P, Q], false);
    }

    #[test]
    fn keys_come_as_an_argument() {
        for (arguments, want) in [
            (&["exec", "detach-keys=1011"][..], &[P, Q][..]),
            (&["exec"], &[]),
            (&["detach-keys="], &[]),
            (&["detach-keys=1g"], &[]),
            (&["detach-keys=é"], &[]),
        ] {
            assert_eq!(Detach::among(arguments).keys, want, "{arguments:?}");
        }
    }
}
