//! The picture of live progress: one row an object, cut to the terminal. Pure: time and size come in.

use super::line;
use crate::{
    console::{Style, styled},
    words,
};
use mesh_api::message::{Action, ImageStage, Progress};
use std::{collections::HashMap, time::Instant};

/// Pictures of the spinner, in turn.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Narrowest and widest terminal that is drawn for, in columns.
const WIDTH: std::ops::RangeInclusive<usize> = 20..=500;
/// Fewest rows that are drawn, whatever the terminal says.
const HEIGHT_MIN: usize = 4;
/// Columns of a bar, and the narrowest terminal that has room for one.
const BAR_COLUMNS: usize = 20;
const BAR_WIDTH_MIN: usize = 70;

/// Size of a terminal in columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// All rows, in the order in which their objects were first told of.
#[derive(Debug)]
pub(super) struct Board {
    rows: Vec<Row>,
    places: HashMap<String, usize>,
    colour: bool,
}

#[derive(Debug)]
struct Row {
    text: String,
    state: State,
    /// Whether nothing is done to it until another one is ready.
    waits: bool,
    began: Instant,
    /// Done and total of what is counted.
    counted: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Good { took_ms: u64 },
    Failed { took_ms: u64 },
}

/// A drawn line and the columns it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) text: String,
    pub(super) columns: usize,
}

impl Board {
    pub(super) fn new(colour: bool) -> Self {
        Self { rows: Vec::new(), places: HashMap::new(), colour }
    }

    /// Takes one piece of progress. Notes have no row.
    pub(super) fn tell(&mut self, progress: &Progress, now: Instant) {
        match progress {
            Progress::Note { .. } | Progress::Said { .. } => {}
            Progress::Image { reference, stage, .. } => {
                let key = format!("Image {reference}");
                let (words, counted) = counted(stage);
                let state = match stage {
                    ImageStage::Ready { .. } => State::Good { took_ms: 0 },
                    _ => State::Going,
                };
                let text = format!("{key}  {words}");
                self.set(key, Row { text, state, waits: false, began: now, counted });
            }
            Progress::Object { object, name, action, detail, elapsed_ms, .. } => {
                let key = format!("{} {name}", line::kind(*object));
                let text = format!("{key}  {}", line::action_words(*action, detail.as_deref()));
                let state = match action {
                    Action::Failed => State::Failed { took_ms: *elapsed_ms },
                    action if line::ends(*action) => State::Good { took_ms: *elapsed_ms },
                    _ => State::Going,
                };
                self.set(
                    key,
                    Row { text, state, waits: *action == Action::Waiting, began: now, counted: None },
                );
            }
        }
    }

    fn set(&mut self, key: String, row: Row) {
        match self.places.get(&key) {
            Some(place) => {
                let known = &mut self.rows[*place];
                // The clock of a step goes on while its counters change.
                let same = known.state == State::Going && row.counted.is_some() && known.counted.is_some();
                let began = if same { known.began } else { row.began };
                *known = Row { began, ..row };
            }
            None => {
                self.places.insert(key, self.rows.len());
                self.rows.push(row);
            }
        }
    }

    /// Whether any row's picture changes with time.
    pub(super) fn is_going(&self) -> bool {
        self.rows.iter().any(|row| row.state == State::Going)
    }

    /// The lines for a terminal of this size, with room for the cursor below. Where there are more rows
    /// than lines, those at work come first, and a last line counts the others.
    pub(super) fn picture(&self, now: Instant, tick: usize, size: Size) -> Vec<Drawn> {
        let columns = size.columns.clamp(*WIDTH.start(), *WIDTH.end()) - 1;
        let room = size.rows.max(HEIGHT_MIN) - 1;
        if self.rows.len() <= room {
            return self.rows.iter().map(|row| self.draw(row, now, tick, Some(columns))).collect();
        }
        let room = room - 1;
        let mut chosen: Vec<usize> = (0..self.rows.len()).collect();
        // Those at work first, then who waits next, then the ones that were told of last.
        chosen.sort_by_key(|place| match (self.rows[*place].state, self.rows[*place].waits) {
            (State::Going, false) => (0, *place),
            (State::Going, true) => (1, *place),
            _ => (2, usize::MAX - place),
        });
        chosen.truncate(room);
        chosen.sort_unstable();
        let mut lines: Vec<Drawn> =
            chosen.iter().map(|place| self.draw(&self.rows[*place], now, tick, Some(columns))).collect();
        let done = self.rows.iter().filter(|row| row.state != State::Going).count();
        let text = format!("   {done} of {} done, {} not shown", self.rows.len(), self.rows.len() - room);
        let columns = text.chars().count().min(columns);
        let text: String = text.chars().take(columns).collect();
        lines.push(Drawn { text: styled(&text, Style::Faint, self.colour), columns });
        lines
    }

    /// Every row whole, as it stays on the screen.
    pub(super) fn settled(&self, now: Instant) -> Vec<String> {
        self.rows.iter().map(|row| self.draw(row, now, 0, None).text).collect()
    }

    fn draw(&self, row: &Row, now: Instant, tick: usize, columns: Option<usize>) -> Drawn {
        let (mark, style, took) = match row.state {
            State::Going => {
                let seconds = now.saturating_duration_since(row.began).as_secs();
                let took = if seconds == 0 { String::new() } else { format!("{seconds}s") };
                // What is left behind does not go on to turn.
                let mark = if columns.is_some() { SPINNER[tick % SPINNER.len()] } else { "-" };
                (mark, Style::Hint, took)
            }
            State::Good { took_ms } => ("✔", Style::Good, took_words(took_ms)),
            State::Failed { took_ms } => ("✘", Style::Error, took_words(took_ms)),
        };
        let mut text = row.text.clone();
        if let Some((done, total)) = row.counted
            && columns.is_some_and(|columns| columns >= BAR_WIDTH_MIN)
        {
            text.push_str(&bar(done, total));
        }
        let tail = if took.is_empty() { 0 } else { took.chars().count() + 2 };
        if let Some(columns) = columns {
            text = cut(&text, columns.saturating_sub(3 + tail));
        }
        let columns = 3 + text.chars().count() + tail;
        let mut line = format!(" {} {text}", styled(mark, style, self.colour));
        if tail > 0 {
            line.push_str(&format!("  {}", styled(&took, Style::Faint, self.colour)));
        }
        Drawn { text: line, columns }
    }
}

fn took_words(milliseconds: u64) -> String {
    if milliseconds == 0 { String::new() } else { words::short(milliseconds) }
}

/// The words of a stage, and what it counts.
fn counted(stage: &ImageStage) -> (String, Option<(u64, u64)>) {
    match stage {
        ImageStage::Downloading { bytes, bytes_total } if *bytes_total > 0 => {
            let of = format!("{}/{}", words::decimal_bytes(*bytes), words::decimal_bytes(*bytes_total));
            (format!("Downloading {of}"), Some((*bytes, *bytes_total)))
        }
        ImageStage::Unpacking { done, total } if *total > 0 => {
            (format!("Unpacking {done}/{total}"), Some((u64::from(*done), u64::from(*total))))
        }
        other => (line::stage_words(other), None),
    }
}

/// `  [=====>    ]`.
fn bar(done: u64, total: u64) -> String {
    let columns = u64::try_from(BAR_COLUMNS).unwrap_or(u64::MAX);
    let filled = done.min(total).saturating_mul(columns) / total.max(1);
    let filled = usize::try_from(filled).unwrap_or(BAR_COLUMNS);
    let head = if filled < BAR_COLUMNS { ">" } else { "" };
    format!("  [{:BAR_COLUMNS$}]", format!("{}{head}", "=".repeat(filled)))
}

/// The text in at most so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_api::message::ObjectKind;
    use std::time::Duration;

    fn container(name: &str, action: Action, elapsed_ms: u64) -> Progress {
        let (name, service) = (name.to_owned(), None);
        Progress::Object { object: ObjectKind::Container, name, service, action, detail: None, elapsed_ms }
    }

    #[track_caller]
    fn check(given: &[Progress], columns: usize, rows: usize, want: &[&str]) {
        let (mut board, start) = (Board::new(false), Instant::now());
        given.iter().for_each(|progress| board.tell(progress, start));
        let picture = board.picture(start + Duration::from_secs(3), 0, Size { columns, rows });
        assert_eq!(picture.iter().map(|drawn| drawn.text.as_str()).collect::<Vec<_>>(), want);
        assert!(picture.len() < rows.max(HEIGHT_MIN), "the cursor has a row");
        for drawn in picture {
            assert_eq!(drawn.columns, drawn.text.chars().count(), "{drawn:?}");
            assert!(drawn.columns < columns.max(*WIDTH.start()), "{drawn:?} wraps");
        }
    }

    #[test]
    fn each_object_has_one_row() {
        let given = [
            container("hub-a-1", Action::Starting, 0),
            container("hub-b-1", Action::Starting, 0),
            container("hub-a-1", Action::Healthy, 731),
        ];
        let want = [" ✔ Container hub-a-1  Healthy  0.73s", " ⠋ Container hub-b-1  Starting  3s"];
        check(&given, 80, 24, &want);
        check(&given, 25, 24, &[" ✔ Container hub…  0.73s", " ⠋ Container hub-b-…  3s"]);
    }

    #[test]
    fn what_is_at_work_is_seen_however_many_there_are() {
        let mut given: Vec<Progress> =
            (0..30).map(|index| container(&format!("a{index}"), Action::Started, 10)).collect();
        given[3] = container("a3", Action::Starting, 0);
        let want = [
            " ⠋ Container a3  Starting  3s",
            " ✔ Container a28  Started  0.01s",
            " ✔ Container a29  Started  0.01s",
            "   29 of 30 done, 27 not shown",
        ];
        check(&given, 80, 5, &want);
    }

    #[test]
    fn work_is_seen_before_waiting() {
        let mut given: Vec<Progress> =
            (0..30).map(|index| container(&format!("a{index}"), Action::Waiting, 0)).collect();
        given[20] = container("a20", Action::Starting, 0);
        let want = [
            " ⠋ Container a0  Waiting  3s",
            " ⠋ Container a1  Waiting  3s",
            " ⠋ Container a20  Starting  3s",
            "   0 of 30 done, 27 not shown",
        ];
        check(&given, 80, 5, &want);
    }

    #[test]
    fn bytes_have_a_bar_where_there_is_room() {
        let stage = ImageStage::Downloading { bytes: 5_000_000, bytes_total: 10_000_000 };
        let image = Progress::Image { reference: "redis:7".to_owned(), services: Vec::new(), stage };
        let wide = " ⠋ Image redis:7  Downloading 5MB/10MB  [==========>         ]  3s";
        check(std::slice::from_ref(&image), 80, 24, &[wide]);
        check(&[image], 60, 24, &[" ⠋ Image redis:7  Downloading 5MB/10MB  3s"]);
        assert_eq!(
            (bar(9, 0), bar(7, 7)),
            (format!("  [>{}]", " ".repeat(19)), format!("  [{}]", "=".repeat(20)))
        );
    }
}
