//! Moments as servers write them (RFC 3339), in Go's other forms.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Date, time of day, zone.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (date, rest) = text.split_once('T')?;
    let at = rest.find(['Z', '+', '-'])?;
    let (time, zone) = rest.split_at(at);
    (date.len() == 10 && time.len() >= 8 && date.is_ascii() && time.is_ascii()).then_some((date, time, zone))
}

/// `2026-11-21 18:00:00.5 +0000 UTC`; what is no moment stays as it is.
pub(crate) fn in_words(text: &str) -> String {
    let Some((date, time, zone)) = parts(text) else { return text.to_owned() };
    let time = match time.contains('.') {
        true => time.trim_end_matches('0').trim_end_matches('.'),
        false => time,
    };
    match zone.replace(':', "").as_str() {
        "Z" => format!("{date} {time} +0000 UTC"),
        zone => format!("{date} {time} {zone} {zone}"),
    }
}

/// `21 Nov 26 18:00 UTC`.
pub(crate) fn short(text: &str) -> String {
    let shown = || {
        let (date, time, zone) = parts(text)?;
        let mut date = date.split('-');
        let (year, month, day) = (date.next()?, date.next()?, date.next()?);
        let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
        let zone = if zone == "Z" { "UTC".to_owned() } else { zone.replace(':', "") };
        Some(format!("{day} {month} {} {} {zone}", year.get(2..)?, time.get(..5)?))
    };
    shown().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_take_the_forms_of_go() {
        assert_eq!(in_words("2026-11-21T18:00:00.120Z"), "2026-11-21 18:00:00.12 +0000 UTC");
        assert_eq!(in_words("2026-11-21T18:00:00-05:00"), "2026-11-21 18:00:00 -0500 -0500");
        assert_eq!(short("2026-11-21T18:07:09.1Z"), "21 Nov 26 18:07 UTC");
        for text in ["", "soon", "2026-99-21T18:00:00Z"] {
            assert_eq!(short(text), text);
        }
    }
}
