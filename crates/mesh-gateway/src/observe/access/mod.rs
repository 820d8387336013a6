//! The log of requests: a line each, under Traefik's names.

mod fields;
mod filter;
mod line;
mod writer;

pub(crate) use writer::OpenError;

use super::{
    Told,
    record::{End, Record},
};
use crate::config::{Warning, statics};
use fields::Fields;
use filter::Filter;
use line::Format;
use writer::Writer;

/// A log that is open.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: Format,
    filter: Filter,
    fields: Fields,
    writer: Writer,
}

impl AccessLog {
    pub(super) fn open(options: &statics::AccessLog, warnings: &mut Vec<Warning>) -> Result<Self, OpenError> {
        let mut warn = |message: String| {
            warnings.push(Warning { place: "accessLog".to_owned(), message });
        };
        let format = Format::named(&options.format).unwrap_or_else(|| {
            warn(format!("unsupported access log format {:?}: it is the common one", options.format));
            Format::Common
        });
        let filter = Filter::new(&options.filters).unwrap_or_else(|text| {
            warn(format!("{text:?} is neither a status nor a range of them: no status is asked for"));
            Filter::new(&statics::Filters { status_codes: Vec::new(), ..options.filters.clone() })
                .unwrap_or_default()
        });
        let lines = usize::try_from(options.buffering_size).unwrap_or(0);
        let writer = Writer::open(&options.file_path, lines)?;
        Ok(Self { format, filter, fields: Fields::new(&options.fields), writer })
    }

    /// Whether a router's requests are written down; those of none are.
    pub(super) fn wants(&self, told: Option<&Told>) -> bool {
        told.is_none_or(|told| told.access_logs)
    }

    /// Whether more than the usual headers is written.
    pub(super) fn wants_headers(&self) -> bool {
        self.format == Format::Json && self.fields.has_headers()
    }

    pub(super) fn write(&self, record: &Record, end: &End<'_>) {
        if self.filter.keeps(end.status.as_u16(), record.notes().retries(), end.took) {
            self.writer.write(self.format.line(record, end, &self.fields));
        }
    }

    pub(super) fn reopen(&self) {
        self.writer.reopen();
    }

    pub(super) fn flush(&self) {
        self.writer.flush();
    }
}
