//! The usual command lines of `exec`, read without the definition of all verbs.
//!
//! Building that definition takes a part of an `exec`'s time that is worth saving where programs call it in loops. So
//! the plain forms are read here: options of `exec` with their values in words of their own, a service, and the
//! program with its arguments. Absent on purpose: everything else, help and what is wrong included. For that there is
//! the definition, which reads what is read here in the same way.

use super::Arguments;

/// The arguments that these words behind `exec` are; `None` where they are to be read by the whole definition.
pub(crate) fn read(words: &[&str]) -> Option<Arguments> {
    let mut arguments = Arguments::of_program(String::new(), Vec::new(), None, None);
    let (mut words, mut seen) = (words.iter().copied(), String::new());
    let service = loop {
        let word = words.next()?;
        match word.strip_prefix('-') {
            None => break word,
            Some(rest) => option(rest, &mut arguments, &mut words, &mut seen)?,
        }
    };
    let command: Vec<String> = words.map(str::to_owned).collect();
    let is_plain = !service.is_empty() && command.first().is_some_and(|first| !first.starts_with('-'));
    if !is_plain || command.iter().any(|word| word == "--") {
        return None;
    }
    Some(Arguments { service: service.to_owned(), command, ..arguments })
}

/// Takes an option, whose word began with a hyphen, and its value. `seen` has the options that may be given once.
fn option<'w>(
    word: &str,
    arguments: &mut Arguments,
    words: &mut impl Iterator<Item = &'w str>,
    seen: &mut String,
) -> Option<()> {
    let mut value = || words.next().filter(|value| !value.is_empty() && !value.starts_with('-'));
    let letters = match word {
        "-env" => "e",
        "-user" => "u",
        "-workdir" => "w",
        "-index" => "n",
        "-no-tty" | "-no-TTY" => "T",
        "-detach" => "d",
        "-interactive" => "i",
        "-tty" => "t",
        "-privileged" => "p",
        // No letters are these.
        letters if letters.contains(['n', 'p']) => return None,
        letters => letters,
    };
    if letters.is_empty() || letters.len() > 1 && letters.contains(['e', 'u', 'w']) {
        return None;
    }
    for letter in letters.chars() {
        if letter != 'e' && seen.contains(letter) {
            return None;
        }
        seen.push(letter);
        match letter {
            'e' => arguments.env.push(value()?.to_owned()),
            'u' => arguments.user = Some(value()?.to_owned()),
            'w' => arguments.workdir = Some(value()?.to_owned()),
            'n' => arguments.index = Some(value()?.parse().ok()?),
            'T' => arguments.no_tty = true,
            'd' => arguments.detach = true,
            'i' => arguments.interactive = true,
            't' => arguments.tty = true,
            'p' => arguments.privileged = true,
            _ => return None,
        }
    }
    Some(())
}
