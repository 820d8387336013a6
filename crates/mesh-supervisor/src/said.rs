//! What hooks print, line by line, on its way to the commands that follow their containers.
//!
//! A line is told to whoever listens just then, and kept for nobody: who reads too slowly is told how much it
//! missed.

use crate::{
    container::View,
    outlet::{Outlet, Output},
};
use mesh_api::message::{Level, Progress};
use mesh_model::container::ContainerId;
use std::sync::Arc;
use tokio::sync::broadcast::{
    Receiver, Sender,
    error::{RecvError, TryRecvError},
};

/// Most lines that wait for a slow listener.
pub(crate) const SAID_LINES_MAX: usize = 4096;

/// One line of a hook.
#[derive(Debug)]
pub(crate) struct Said {
    /// The container that it ran in.
    pub(crate) id: ContainerId,
    /// The line.
    pub(crate) line: String,
}

/// Where hooks' lines go.
pub(crate) type Speaker = Sender<Arc<Said>>;

/// Where they come from.
pub(crate) struct Listener(Receiver<Arc<Said>>);

/// What was heard.
pub(crate) enum Heard {
    /// A line.
    Line(Arc<Said>),
    /// So many were missed.
    Missed(u64),
}

impl Listener {
    /// Hears what is said from now on.
    pub(crate) fn to(speaker: &Speaker) -> Self {
        Self(speaker.subscribe())
    }

    /// The next line; never, once nobody speaks any more.
    pub(crate) async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(said) => Heard::Line(said),
            Err(RecvError::Lagged(lines)) => Heard::Missed(lines),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Tells all that was said so far.
    pub(crate) async fn tell_rest(&mut self, view: &View, ids: &[ContainerId], outlet: &Outlet) {
        loop {
            match self.0.try_recv() {
                Ok(said) => tell(Heard::Line(said), view, ids, outlet).await,
                Err(TryRecvError::Lagged(lines)) => tell(Heard::Missed(lines), view, ids, outlet).await,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}

/// Tells a line, if it is of one of these containers.
pub(crate) async fn tell(heard: Heard, view: &View, ids: &[ContainerId], outlet: &Outlet) {
    let said = match heard {
        Heard::Missed(lines) => {
            return outlet.note(Level::Warning, format!("{lines} lines of hooks are not shown")).await;
        }
        Heard::Line(said) => said,
    };
    if !ids.contains(&said.id) {
        return;
    }
    let Some(container) = view.containers.get(&said.id) else { return };
    let name = &container.spec.name;
    let source = name.strip_prefix(&format!("{}-", container.spec.project)).unwrap_or(name);
    let progress = Progress::Said { source: format!("{source} ->"), line: said.line.clone() };
    outlet.send(Output::Progress(progress)).await;
}
