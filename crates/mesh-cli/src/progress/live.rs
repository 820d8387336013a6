//! Live progress: one line an object, redrawn in place on standard error.

use super::line;
use crate::{
    console::{Style, styled},
    words,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mesh_api::message::{Action, ImageStage, Progress};
use std::{collections::HashMap, time::Duration};

/// Time between two pictures of a spinner.
const SPINNER_MILLISECONDS: u64 = 100;
const SPINNER: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ";

/// The lines on the screen.
pub(super) struct Live {
    screen: MultiProgress,
    lines: HashMap<String, ProgressBar>,
    colour: bool,
    finished: bool,
}

impl Live {
    /// An empty screen.
    pub(super) fn new(colour: bool) -> Self {
        Self { screen: MultiProgress::new(), lines: HashMap::new(), colour, finished: false }
    }

    /// Shows one piece of progress.
    pub(super) fn tell(&mut self, progress: &Progress) {
        match progress {
            Progress::Note { level, text } => {
                let _ = self.screen.println(line::note(*level, text, self.colour));
            }
            Progress::Image { reference, stage, .. } => self.image(reference, stage),
            Progress::Object { object, name, action, detail, elapsed_ms, .. } => {
                let kind = line::kind(*object);
                let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
                let text = format!("{kind} {name}  {action:?}{detail}");
                let done = line::ends(*action);
                let failed = *action == Action::Failed;
                self.line(&format!("{kind} {name}"), &text, done.then_some((failed, *elapsed_ms)));
            }
        }
    }

    fn image(&mut self, reference: &str, stage: &ImageStage) {
        let key = format!("Image {reference}");
        let (text, position) = match stage {
            ImageStage::Downloading { bytes, bytes_total } if *bytes_total > 0 => {
                let of = format!("{}/{}", words::decimal_bytes(*bytes), words::decimal_bytes(*bytes_total));
                (format!("{key}  Downloading {of}"), Some((*bytes, *bytes_total)))
            }
            ImageStage::Unpacking { done, total } if *total > 0 => {
                (format!("{key}  Unpacking {done}/{total}"), Some((u64::from(*done), u64::from(*total))))
            }
            other => (format!("{key}  {}", line::stage_words(other)), None),
        };
        let ready = matches!(stage, ImageStage::Ready { .. });
        self.line(&key, &text, ready.then_some((false, 0)));
        if let Some((position, length)) = position
            && let Some(bar) = self.lines.get(&key)
        {
            bar.set_style(style(" {spinner:.cyan} {msg}  [{bar:20}]  {elapsed:.dim}"));
            bar.set_length(length);
            bar.set_position(position);
        }
    }

    /// Sets a line; `done` says whether it failed and how long it took.
    fn line(&mut self, key: &str, text: &str, done: Option<(bool, u64)>) {
        let bar = self.lines.entry(key.to_owned()).or_insert_with(|| {
            let bar = self.screen.add(ProgressBar::new_spinner());
            bar.set_style(style(" {spinner:.cyan} {msg}  {elapsed:.dim}"));
            bar
        });
        match done {
            None => {
                bar.set_style(style(" {spinner:.cyan} {msg}  {elapsed:.dim}"));
                bar.enable_steady_tick(Duration::from_millis(SPINNER_MILLISECONDS));
                bar.set_message(text.to_owned());
            }
            Some((failed, elapsed_ms)) => {
                let mark = match failed {
                    true => styled("✘", Style::Error, self.colour),
                    false => styled("✔", Style::Good, self.colour),
                };
                let took = if elapsed_ms == 0 { String::new() } else { words::short(elapsed_ms) };
                bar.disable_steady_tick();
                bar.set_style(style(" {msg}"));
                bar.set_message(format!("{mark} {text}  {}", styled(&took, Style::Faint, self.colour)));
            }
        }
        bar.tick();
    }

    /// Leaves the lines as they are.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        for bar in self.lines.values() {
            bar.disable_steady_tick();
            bar.abandon();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.tick_chars(SPINNER).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_well_formed() {
        for template in [
            " {msg}",
            " {spinner:.cyan} {msg}  {elapsed:.dim}",
            " {spinner:.cyan} {msg}  [{bar:20}]  {elapsed:.dim}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
