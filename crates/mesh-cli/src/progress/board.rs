//! The picture of live progress: one row an object, cut to the terminal. Pure: time and size come in.

use super::line;
use crate::{
    console::{Style, styled},
    words,
};
use mesh_api::message::{Action, ImageStage, Progress};
use mesh_model::image::LayerStage;
use std::{collections::HashMap, time::Instant};

/// Pictures of the spinner, in turn.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Narrowest and widest terminal that is drawn for, in columns.
const WIDTH: std::ops::RangeInclusive<usize> = 20..=500;
/// Fewest rows that are drawn, whatever the terminal says.
const HEIGHT_MIN: usize = 4;
/// Columns by which a layer stands below its image.
const LAYER_INDENT: usize = 2;
/// Layers of one image that are shown.
const LAYERS_MAX: usize = 512;
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
    /// Of an image: its layers, by their names, in the order in which they were first told of.
    layers: Vec<(String, Row)>,
}

/// What a line shows: a row, or one of its layers.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Row(usize),
    Layer(usize, usize),
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
            Progress::Image {
                reference,
                stage: ImageStage::Layer { layer, step, bytes, bytes_total },
                ..
            } => {
                self.tell_layer(&format!("Image {reference}"), layer, *step, (*bytes, *bytes_total), now);
            }
            Progress::Image { reference, stage, .. } => {
                let key = format!("Image {reference}");
                let (words, counted) = counted(stage);
                let state = match stage {
                    ImageStage::Ready { .. } | ImageStage::LeftOut => State::Good { took_ms: 0 },
                    ImageStage::Failed => State::Failed { took_ms: 0 },
                    _ => State::Going,
                };
                let text = format!("{key}  {words}");
                self.set(key, Row { text, state, waits: false, began: now, counted, layers: Vec::new() });
            }
            Progress::Object { object, name, action, detail, elapsed_ms, .. } => {
                let key = format!("{} {name}", line::kind(*object));
                let text = format!("{key}  {}", line::action_words(*action, detail.as_deref()));
                let state = match action {
                    Action::Failed => State::Failed { took_ms: *elapsed_ms },
                    action if line::ends(*action) => State::Good { took_ms: *elapsed_ms },
                    _ => State::Going,
                };
                let waits = *action == Action::Waiting;
                self.set(key, Row { text, state, waits, began: now, counted: None, layers: Vec::new() });
            }
        }
    }

    fn tell_layer(&mut self, image: &str, layer: &str, step: LayerStage, counted: (u64, u64), now: Instant) {
        let Some(place) = self.places.get(image) else { return };
        let layers = &mut self.rows[*place].layers;
        let counts = step == LayerStage::Downloading && counted.1 > 0;
        let words = match counts {
            true => {
                format!("Downloading {}/{}", words::decimal_bytes(counted.0), words::decimal_bytes(counted.1))
            }
            false => line::layer_words(step).to_owned(),
        };
        let state = if line::layer_ends(step) { State::Good { took_ms: 0 } } else { State::Going };
        let row = Row {
            text: format!("{layer}  {words}"),
            state,
            waits: matches!(step, LayerStage::Waiting | LayerStage::Downloaded),
            began: now,
            counted: counts.then_some(counted),
            layers: Vec::new(),
        };
        let room = layers.len() < LAYERS_MAX;
        match layers.iter_mut().find(|(name, _)| name == layer) {
            Some((_, known)) => {
                let same = known.counted.is_some() && row.counted.is_some();
                *known = Row { began: if same { known.began } else { row.began }, ..row };
            }
            None if room => layers.push((layer.to_owned(), row)),
            None => {}
        }
    }

    fn set(&mut self, key: String, row: Row) {
        match self.places.get(&key) {
            Some(place) => {
                let known = &mut self.rows[*place];
                // The clock of a step goes on while its counters change.
                let same = known.state == State::Going && row.counted.is_some() && known.counted.is_some();
                let began = if same { known.began } else { row.began };
                let layers = std::mem::take(&mut known.layers);
                *known = Row { began, layers, ..row };
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
            let drawn = self.with_layers(room).into_iter().map(|shown| match shown {
                Shown::Row(row) => self.draw(&self.rows[row], now, tick, Some(columns)),
                Shown::Layer(row, layer) => {
                    let narrower = Some(columns.saturating_sub(LAYER_INDENT));
                    let drawn = self.draw(&self.rows[row].layers[layer].1, now, tick, narrower);
                    let text = format!("{}{}", " ".repeat(LAYER_INDENT), drawn.text);
                    Drawn { text, columns: drawn.columns + LAYER_INDENT }
                }
            });
            return drawn.collect();
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

    /// All rows, with as many layers below the images at work as there is room for: all, or those that
    /// something is done to.
    fn with_layers(&self, room: usize) -> Vec<Shown> {
        let at_work = |row: &Row| row.state == State::Going && !row.waits;
        let chosen = |keep: &dyn Fn(&Row) -> bool, mut left: usize| {
            let mut shown = Vec::new();
            for (place, row) in self.rows.iter().enumerate() {
                shown.push(Shown::Row(place));
                let layers = row.layers.iter().enumerate().filter(|_| row.state == State::Going);
                for (layer, _) in layers.filter(|(_, (_, layer))| keep(layer)).take(left) {
                    shown.push(Shown::Layer(place, layer));
                    left -= 1;
                }
            }
            shown
        };
        let all = chosen(&|_| true, usize::MAX);
        if all.len() <= room { all } else { chosen(&at_work, room - self.rows.len()) }
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
    fn layers_stand_below_their_image_until_it_is_there() {
        let of = |reference: &str, stage| Progress::Image {
            reference: reference.to_owned(),
            services: Vec::new(),
            stage,
        };
        let layer = |layer: &str, step, bytes| ImageStage::Layer {
            layer: layer.to_owned(),
            step,
            bytes,
            bytes_total: 10_000_000,
        };
        let resolving = || ImageStage::Resolving { detail: String::new() };
        let mut given = vec![
            of("a:1", resolving()),
            of("b:1", resolving()),
            of("b:1", layer("b1", LayerStage::Downloading, 0)),
            of("a:1", layer("a1", LayerStage::Downloading, 5_000_000)),
            of("a:1", layer("a2", LayerStage::Waiting, 0)),
            of("b:1", layer("b1", LayerStage::Complete, 10_000_000)),
        ];
        let want = [
            " ⠋ Image a:1  Resolving  3s",
            "   ⠋ a1  Downloading 5MB/10MB  [==========>         ]  3s",
            "   ⠋ a2  Waiting  3s",
            " ⠋ Image b:1  Resolving  3s",
            "   ✔ b1  Pull complete",
        ];
        check(&given, 80, 24, &want);
        // Where there is less room, what nothing is done to is left out.
        check(&given, 80, 5, &[want[0], want[1], want[3]]);
        check(&given[..5], 80, 4, &[want[0], want[1], want[3]]);
        given.push(of("a:1", ImageStage::Ready { source: "oci".to_owned() }));
        check(&given, 80, 24, &[" ✔ Image a:1  Ready (oci)", want[3], want[4]]);
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
