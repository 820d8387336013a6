//! Log lines as objects of JSON, under the names that Traefik's have: `level`, `time`, `message`, and each field by its own.

use serde_json::{Map, Value};
use std::fmt::{self, Debug};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

/// A line for each event.
#[derive(Debug)]
pub(crate) struct JsonLines;

/// The fields of an event.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.insert(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("level".to_owned(), event.metadata().level().as_str().to_lowercase().into());
        line.insert("time".to_owned(), time.into());
        // A field takes the place of none of the three.
        let message = fields.0.shift_remove("message").unwrap_or_default();
        line.insert("message".to_owned(), message);
        for (name, value) in fields.0 {
            line.entry(name).or_insert(value);
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<u8>>);

    impl Write for &Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_object() {
        let kept = Arc::new(Kept::default());
        let logs = tracing_subscriber::fmt().with_writer(kept.clone()).event_format(JsonLines).finish();
        tracing::subscriber::with_default(logs, || {
            tracing::warn!(service = "a\nb", count = 3_u64, well = false, error = %"gone", level = "x", "told");
        });
        let text = String::from_utf8(kept.0.lock().expect("whole").clone()).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        let mut line: Value = serde_json::from_str(&text).expect("JSON");
        let time = line["time"].take();
        assert!(time.as_str().is_some_and(|time| time.contains('T') && time.ends_with('Z')), "{time}");
        let expected = serde_json::json!({
            "level": "warn", "time": null, "message": "told",
            "service": "a\nb", "count": 3, "well": false, "error": "gone",
        });
        assert_eq!(line, expected);
    }
}
