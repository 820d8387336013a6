//! All lines to servers. They outlive a configuration.

use super::{dial::Scheme, line::Line, transport::Transport};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often connections and lines are looked for that nobody needs any more.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

type Lines = Mutex<HashMap<(Scheme, String), Vec<Arc<Line>>>>;

/// Lines, by where they lead and how is spoken there.
#[derive(Debug)]
pub(crate) struct Pool {
    lines: Arc<Lines>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Pool {
    /// An empty one, which is kept clean by a task of the runtime's; all ends with [`Pool::close`], or with the pool.
    pub(crate) fn new() -> Self {
        let (lines, tasks, stop): (Arc<Lines>, _, _) =
            (Arc::default(), TaskTracker::new(), CancellationToken::new());
        let (swept, stopped) = (lines.clone(), stop.clone());
        tasks.spawn(async move {
            while stopped.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
                sweep(&swept);
            }
        });
        Self { lines, tasks, stop }
    }

    /// The line to a server; two of them are the same if everything about them is.
    pub(crate) fn line(&self, transport: &Arc<Transport>, scheme: Scheme, authority: &str) -> Arc<Line> {
        let mut all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = all.entry((scheme, authority.to_owned())).or_default();
        let same =
            |line: &&Arc<Line>| Arc::ptr_eq(&line.transport, transport) || line.transport == *transport;
        if let Some(known) = lines.iter().find(same) {
            return known.clone();
        }
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        let line = Line::new(transport.clone(), scheme, authority.to_owned(), tasks, stop);
        lines.push(line.clone());
        line
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let mut all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        all.drain().flat_map(|(_, lines)| lines).for_each(|line| line.clear());
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Ends what has waited too long; lines that no configuration leads to any more go with their last connection.
fn sweep(lines: &Lines) {
    let mut all = lines.lock().unwrap_or_else(PoisonError::into_inner);
    for lines in all.values_mut() {
        lines.retain(|line| line.sweep() > 0 || Arc::strong_count(line) > 1);
    }
    all.retain(|_, lines| !lines.is_empty());
}
