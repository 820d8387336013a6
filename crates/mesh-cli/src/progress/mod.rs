//! Progress of a request, as lines or live.

mod board;
mod json;
mod line;
mod live;
mod sieve;

use crate::{console, settings::ProgressMode};
use live::Live;
use mesh_api::message::Progress;
use sieve::Sieve;
use std::collections::HashSet;

/// Shows progress in one of four ways. A note is shown once, however often it comes.
pub(crate) struct Reporter {
    way: Way,
    colour: bool,
    told: HashSet<String>,
    sieve: Sieve,
    /// Last line printed of each image, so that byte counts do not flood a log.
    images: HashSet<String>,
    /// Nothing of it is done.
    rehearsal: bool,
    /// Lines go to standard output.
    to_stdout: bool,
    /// Nothing is shown of images.
    without_images: bool,
}

/// What stands before each line of what is only told.
const REHEARSAL_PREFIX: &str = " DRY-RUN MODE - ";

enum Way {
    Live(Live),
    Plain,
    Json,
    Quiet,
}

impl Reporter {
    /// A reporter for one request.
    pub(crate) fn new(mode: ProgressMode, colour: bool) -> Self {
        let way = match mode {
            ProgressMode::Live => Way::Live(Live::new(colour)),
            ProgressMode::Plain => Way::Plain,
            ProgressMode::Json => Way::Json,
            ProgressMode::Quiet => Way::Quiet,
        };
        Self {
            way,
            colour,
            told: HashSet::new(),
            sieve: Sieve::default(),
            images: HashSet::new(),
            rehearsal: false,
            to_stdout: false,
            without_images: false,
        }
    }

    /// The same for what is only told and not done: every line of it, marked as such.
    pub(crate) fn rehearsing(mut self, rehearsal: bool) -> Self {
        if rehearsal && matches!(self.way, Way::Live(_)) {
            self.way = Way::Plain;
        }
        self.rehearsal = rehearsal;
        self
    }

    /// The same with lines on standard output, where `COMPOSE_STATUS_STDOUT` wants them there.
    pub(crate) fn on_stdout(mut self, to_stdout: bool) -> Self {
        self.to_stdout = to_stdout;
        self
    }

    /// The same without the fetching of images.
    pub(crate) fn without_images(mut self, without_images: bool) -> Self {
        self.without_images = without_images;
        self
    }

    /// Shows one piece of progress.
    pub(crate) fn tell(&mut self, progress: Progress) {
        if let Progress::Note { text, .. } = &progress
            && !self.told.insert(text.clone())
        {
            return;
        }
        if self.without_images && matches!(progress, Progress::Image { .. }) {
            return;
        }
        match &self.way {
            Way::Quiet => {}
            // Whoever reads by machine gets all of it.
            Way::Json => self.print(&json::document(&progress, self.rehearsal)),
            Way::Plain if self.rehearsal => self.show(progress),
            Way::Live(_) | Way::Plain => {
                for progress in self.sieve.pass(progress) {
                    self.show(progress);
                }
            }
        }
    }

    fn show(&mut self, progress: Progress) {
        if let Way::Live(live) = &mut self.way {
            live.tell(progress);
            return;
        }
        if !line::is_worth_a_line(&progress) {
            return;
        }
        let line = line::plain(&progress, self.colour);
        // Images tell bytes many times a second; each stage is printed once.
        if matches!(progress, Progress::Image { .. }) && !self.images.insert(line.clone()) {
            return;
        }
        match self.rehearsal {
            true => self.print(&format!("{REHEARSAL_PREFIX}{line}")),
            false => self.print(&line),
        }
    }

    fn print(&self, line: &str) {
        if self.to_stdout { console::out_line(line) } else { console::err_line(line) }
    }

    /// Leaves what was shown last on the screen.
    pub(crate) fn finish(&mut self) {
        if let Way::Live(live) = &mut self.way {
            live.finish();
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish();
    }
}
