//! Progress of a request, as lines or live.

mod board;
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
}

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
        Self { way, colour, told: HashSet::new(), sieve: Sieve::default(), images: HashSet::new() }
    }

    /// Shows one piece of progress.
    pub(crate) fn tell(&mut self, progress: Progress) {
        if let Progress::Note { text, .. } = &progress
            && !self.told.insert(text.clone())
        {
            return;
        }
        match &self.way {
            Way::Quiet => {}
            // Whoever reads by machine gets all of it.
            Way::Json => {
                if let Ok(line) = serde_json::to_string(&progress) {
                    console::err_line(&line);
                }
            }
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
        let line = line::plain(&progress, self.colour);
        // Images tell bytes many times a second; each stage is printed once.
        if matches!(progress, Progress::Image { .. }) && !self.images.insert(line.clone()) {
            return;
        }
        console::err_line(&line);
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
