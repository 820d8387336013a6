//! Which statuses are meant, as configurations write them: `404`, `500-599`.

use super::LayerError;
use hyper::StatusCode;
use std::ops::RangeInclusive;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    pub(crate) fn parse(texts: &[String]) -> Result<Self, LayerError> {
        texts.iter().map(|text| range(text)).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn contain(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, LayerError> {
    let wrong = || LayerError::StatusRange(text.to_owned());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=999).contains(code));
    let (first, last) = (code(first).ok_or_else(wrong)?, code(last).ok_or_else(wrong)?);
    if first > last { Err(wrong()) } else { Ok(first..=last) }
}
