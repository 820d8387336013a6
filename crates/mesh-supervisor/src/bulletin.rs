//! What happened, for those who listen to `events`, and what of the past they can still be told.
//!
//! Programs that run in containers beside their own (`exec`, hooks, health tests) have a board of their own: health
//! tests are many, and must push out neither what happened to containers nor its listeners.
//!
//! Invariants: what happened is told in the order of its numbers, each once; a listener that is slow loses the oldest
//! and holds nobody up.

use mesh_api::message::Event;
use std::collections::VecDeque;
use tokio::sync::{
    broadcast::{
        self,
        error::{RecvError, TryRecvError},
    },
    watch,
};

/// Most events of a board that wait for a listener.
const WAITING_MAX: usize = 1024;
/// Most events of a board that are known after they were told; Docker knows as many.
const KNOWN_MAX: usize = 256;

/// An event with its number.
#[derive(Debug, Clone)]
struct Told {
    number: u64,
    event: Event,
}

/// Where the owner tells what happened.
#[derive(Debug)]
pub(crate) struct Bulletin {
    containers: Board,
    programs: Board,
    number: u64,
}

/// Where it is heard.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    containers: Reader,
    programs: Reader,
}

#[derive(Debug)]
struct Board {
    listeners: broadcast::Sender<Told>,
    known: watch::Sender<VecDeque<Told>>,
}

#[derive(Debug, Clone)]
struct Reader {
    listeners: broadcast::Sender<Told>,
    known: watch::Receiver<VecDeque<Told>>,
}

/// One who listens.
#[derive(Debug)]
pub(crate) struct Listener {
    ears: Vec<Ear>,
    /// What was heard and not given yet, in order.
    heard: VecDeque<Told>,
}

#[derive(Debug)]
struct Ear {
    receiver: broadcast::Receiver<Told>,
    /// The last that was read from the past: it may come a second time.
    last_number: u64,
}

impl Bulletin {
    /// One on which nothing stands.
    pub(crate) fn new() -> (Self, Readers) {
        let ((containers, of_containers), (programs, of_programs)) = (Board::new(), Board::new());
        let readers = Readers { containers: of_containers, programs: of_programs };
        (Self { containers, programs, number: 0 }, readers)
    }

    /// Tells what happened to a container.
    pub(crate) fn tell(&mut self, event: Event) {
        self.number += 1;
        self.containers.tell(Told { number: self.number, event });
    }

    /// Tells what happened to a program that runs in a container beside its own.
    pub(crate) fn tell_of_program(&mut self, event: Event) {
        self.number += 1;
        self.programs.tell(Told { number: self.number, event });
    }
}

impl Board {
    fn new() -> (Self, Reader) {
        let (listeners, _) = broadcast::channel(WAITING_MAX);
        let (known, reader) = watch::channel(VecDeque::new());
        (Self { listeners: listeners.clone(), known }, Reader { listeners, known: reader })
    }

    fn tell(&self, told: Told) {
        self.known.send_modify(|known| {
            if known.len() == KNOWN_MAX {
                known.pop_front();
            }
            known.push_back(told.clone());
        });
        // An error means that nobody listens.
        let _ = self.listeners.send(told);
    }
}

impl Readers {
    /// Listens from now on; what is known from `since_unix_ms` on comes first. With `programs` also what is told of
    /// those.
    pub(crate) fn listen(&self, since_unix_ms: Option<u64>, programs: bool) -> Listener {
        let mut listener = Listener { ears: Vec::new(), heard: VecDeque::new() };
        let readers = [Some(&self.containers), programs.then_some(&self.programs)];
        for reader in readers.into_iter().flatten() {
            // Before the past is read, so that nothing is missed between the two.
            let receiver = reader.listeners.subscribe();
            let known = reader.known.borrow();
            let past =
                known.iter().filter(|told| since_unix_ms.is_some_and(|at| told.event.at_unix_ms >= at));
            listener.heard.extend(past.cloned());
            let last_number = known.back().map_or(0, |told| told.number);
            listener.ears.push(Ear { receiver, last_number });
        }
        listener.sort();
        listener
    }
}

impl Listener {
    /// The next event; `None`: no more will come.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        while self.heard.is_empty() {
            let (told, of) = match self.ears.as_mut_slice() {
                [only] => (only.receiver.recv().await, 0),
                [one, other] => tokio::select! { biased;
                    told = one.receiver.recv() => (told, 0),
                    told = other.receiver.recv() => (told, 1),
                },
                _ => return None,
            };
            match told {
                Ok(told) => self.hear(told, of),
                // It reads too slowly; what it missed is gone.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    self.hear_rest();
                    break;
                }
            }
            self.hear_rest();
        }
        self.heard.pop_front().map(|told| told.event)
    }

    fn hear(&mut self, told: Told, of: usize) {
        if told.number > self.ears[of].last_number {
            self.heard.push_back(told);
        }
    }

    /// Takes what is there already on both boards, so that it can be told in order.
    fn hear_rest(&mut self) {
        for of in 0..self.ears.len() {
            for _ in 0..WAITING_MAX {
                match self.ears[of].receiver.try_recv() {
                    Ok(told) => self.hear(told, of),
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.heard.make_contiguous().sort_by_key(|told| told.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, at_unix_ms: u64) -> Event {
        let text = String::new;
        let (id, name, service, image) = (text(), text(), text(), text());
        let (action, attributes) = (action.to_owned(), Default::default());
        Event { one_off: false, at_unix_ms, id, name, service, action, image, attributes }
    }

    async fn actions(mut listener: Listener) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(event) = listener.next().await {
            actions.push(event.action);
        }
        actions
    }

    #[tokio::test]
    async fn past_and_present_come_in_order_and_once() {
        let (mut bulletin, readers) = Bulletin::new();
        bulletin.tell(event("create", 1));
        bulletin.tell_of_program(event("exec_die", 5));
        bulletin.tell(event("start", 5));
        let (all, plain, now) =
            (readers.listen(Some(2), true), readers.listen(Some(0), false), readers.listen(None, true));
        bulletin.tell(event("die", 6));
        bulletin.tell_of_program(event("exec_create", 6));
        drop((bulletin, readers));
        assert_eq!(actions(all).await, ["exec_die", "start", "die", "exec_create"]);
        assert_eq!(actions(plain).await, ["create", "start", "die"]);
        assert_eq!(actions(now).await, ["die", "exec_create"]);
    }

    #[tokio::test]
    async fn programs_push_out_no_containers() {
        let (mut bulletin, readers) = Bulletin::new();
        let live = readers.listen(None, true);
        bulletin.tell(event("start", 1));
        for at in 0..WAITING_MAX * 2 {
            bulletin.tell_of_program(event("exec_start", at as u64));
        }
        let past = readers.listen(Some(0), true);
        drop((bulletin, readers));
        let told = actions(past).await;
        assert_eq!((told[0].as_str(), told.len()), ("start", KNOWN_MAX + 1));
        let told = actions(live).await;
        assert_eq!((told[0].as_str(), told.len()), ("start", WAITING_MAX + 1));
    }
}
