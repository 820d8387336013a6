//! Live progress: the board redrawn in place on standard error.
//!
//! A thread of its own holds the board and the screen. It ends, and leaves every row on the screen, when
//! this side is dropped.

use super::{
    board::{Board, Drawn, Size},
    line,
};
use crate::console;
use mesh_api::message::Progress;
use rustix::termios::tcgetwinsize;
use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Time between two pictures of a spinner.
const TICK_MILLISECONDS: u64 = 100;
/// Least time between two pictures, however much goes on.
const PICTURE_MILLISECONDS_MIN: u64 = 30;
/// Messages that wait for the screen; a terminal that is stopped stops the command, as it does any other.
const MESSAGES_MAX: usize = 256;
/// What is assumed where the terminal does not say.
const SIZE_UNKNOWN: Size = Size { columns: 80, rows: 24 };

/// The way to the screen.
pub(super) struct Live {
    sender: Option<SyncSender<Progress>>,
    painter: Option<JoinHandle<()>>,
}

impl Live {
    /// An empty screen.
    pub(super) fn new(colour: bool) -> Self {
        let (sender, receiver) = sync_channel(MESSAGES_MAX);
        let painter = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || Screen::new(colour).paint(&receiver));
        // Without a thread there is no progress; the work itself goes on.
        Self { sender: Some(sender), painter: painter.ok() }
    }

    /// Shows one piece of progress.
    pub(super) fn tell(&mut self, progress: Progress) {
        if let Some(sender) = &self.sender {
            // The painter may have gone with the terminal.
            let _ = sender.send(progress);
        }
    }

    /// Leaves the rows as they are, and returns when they stand there.
    pub(super) fn finish(&mut self) {
        self.sender = None;
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

struct Screen {
    board: Board,
    colour: bool,
    /// Columns of each line that is on the screen.
    drawn: Vec<usize>,
    ticks: usize,
}

impl Screen {
    fn new(colour: bool) -> Self {
        Self { board: Board::new(colour), colour, drawn: Vec::new(), ticks: 0 }
    }

    fn paint(mut self, receiver: &Receiver<Progress>) {
        let tick = Duration::from_millis(TICK_MILLISECONDS);
        let pause = Duration::from_millis(PICTURE_MILLISECONDS_MIN);
        let mut next = Instant::now();
        let mut changed = false;
        loop {
            let wait = if changed { next.saturating_duration_since(Instant::now()) } else { tick };
            match receiver.recv_timeout(wait) {
                Ok(progress) => {
                    changed = true;
                    self.take(&progress);
                    if Instant::now() < next {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) if !changed && !self.board.is_going() => continue,
                Err(RecvTimeoutError::Timeout) => self.ticks = self.ticks.wrapping_add(1),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let size = size();
            let picture = self.board.picture(Instant::now(), self.ticks, size);
            self.show(size, &picture);
            (changed, next) = (false, Instant::now() + pause);
        }
        let mut text = self.over(size());
        for line in self.board.settled(Instant::now()) {
            text.push_str(&format!("{line}\u{1b}[K\n"));
        }
        console::err(&format!("{text}\u{1b}[J"));
    }

    fn take(&mut self, progress: &Progress) {
        if let Progress::Note { .. } | Progress::Said { .. } = progress {
            // It stands above the rows, which are drawn anew below it.
            let above = self.over(size());
            console::err(&format!("{above}\u{1b}[J{}\n", line::plain(progress, self.colour)));
            self.drawn.clear();
        }
        self.board.tell(progress, Instant::now());
    }

    fn show(&mut self, size: Size, picture: &[Drawn]) {
        let mut text = self.over(size);
        for drawn in picture {
            text.push_str(&format!("{}\u{1b}[K\n", drawn.text));
        }
        text.push_str("\u{1b}[J");
        console::err(&text);
        self.drawn = picture.iter().map(|drawn| drawn.columns).collect();
    }

    /// What brings the cursor to the first line that was drawn. A terminal that became narrower has
    /// wrapped them.
    fn over(&self, size: Size) -> String {
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(size.columns.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A\r") }
    }
}

fn size() -> Size {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: usize::from(size.ws_col), rows: usize::from(size.ws_row) }
        }
        _ => SIZE_UNKNOWN,
    }
}
