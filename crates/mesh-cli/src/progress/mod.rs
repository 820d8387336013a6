//! Progress of a request, as lines or live.

mod line;
mod live;

use crate::{console, settings::ProgressMode};
use live::Live;
use mesh_api::message::Progress;
use std::collections::HashSet;

/// Shows progress in one of four ways. A note is shown once, however often it comes.
pub(crate) struct Reporter {
    way: Way,
    colour: bool,
    told: HashSet<String>,
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
        Self { way, colour, told: HashSet::new(), images: HashSet::new() }
    }

    /// Shows one piece of progress.
    pub(crate) fn tell(&mut self, progress: Progress) {
        if let Progress::Note { text, .. } = &progress
            && !self.told.insert(text.clone())
        {
            return;
        }
        match &mut self.way {
            Way::Quiet => {}
            Way::Json => {
                if let Ok(line) = serde_json::to_string(&progress) {
                    console::err_line(&line);
                }
            }
            Way::Plain => {
                let line = line::plain(&progress, self.colour);
                // Images tell bytes many times a second; each stage is printed once.
                if let Progress::Image { .. } = &progress
                    && !self.images.insert(line.clone())
                {
                    return;
                }
                console::err_line(&line);
            }
            Way::Live(live) => live.tell(&progress),
        }
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
