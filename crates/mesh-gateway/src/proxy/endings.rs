//! What ends a connection, looked for often and found seldom.
//!
//! A connection goes on several times for each request, and each time may be the one at which it is to end. So what is
//! looked at is one flag; those who raise it are asked only then.

use super::lasting::Over;
use futures_util::Stream;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

type Source = Pin<Box<dyn Stream<Item = Over> + Send>>;

/// The ends of a connection, from wherever they come.
pub(super) struct Endings {
    sources: Vec<Source>,
    raised: Arc<Raised>,
    /// Who is told when it is raised.
    told: Option<Waker>,
}

/// What is false only while whoever is to be told is kept. Both change together: a flag that is taken back while its
/// waking is still under way would be followed by one that wakes nobody.
#[derive(Debug)]
struct Raised {
    flag: AtomicBool,
    told: Mutex<Option<Waker>>,
}

impl Raised {
    fn told(&self) -> MutexGuard<'_, Option<Waker>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps whom to tell; and takes the flag back, if what it stands for is asked for now.
    fn register(&self, waker: &Waker, asks: bool) {
        let waker = waker.clone();
        let mut told = self.told();
        let before = told.replace(waker);
        if asks {
            self.flag.store(false, Ordering::SeqCst);
        }
        drop(told);
        // It may be a task's last trace.
        drop(before);
    }
}

impl Wake for Raised {
    fn wake(self: Arc<Self>) {
        let mut told = self.told();
        self.flag.store(true, Ordering::SeqCst);
        let waker = told.take();
        drop(told);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Endings {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        // Nobody has been asked yet.
        let raised = Raised { flag: AtomicBool::new(true), told: Mutex::new(None) };
        Self { sources, raised: Arc::new(raised), told: None }
    }

    /// What is to be done next; whoever asks is woken when there is something.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        if self.told.as_ref().is_none_or(|told| !told.will_wake(cx.waker())) {
            self.raised.register(cx.waker(), false);
            self.told = Some(cx.waker().clone());
        }
        if self.raised.flag.load(Ordering::SeqCst) {
            // Waking takes whom it wakes out; and what is raised from here on is seen the next time.
            self.raised.register(cx.waker(), true);
            if let Some(over) = self.ask() {
                // There may be more.
                self.raised.flag.store(true, Ordering::SeqCst);
                return Poll::Ready(over);
            }
        }
        Poll::Pending
    }

    fn ask(&mut self) -> Option<Over> {
        let waker = Waker::from(self.raised.clone());
        let mut cx = Context::from_waker(&waker);
        let mut found = None;
        self.sources.retain_mut(|source| {
            if found.is_some() {
                return true;
            }
            match source.as_mut().poll_next(&mut cx) {
                Poll::Ready(Some(over)) => {
                    found = Some(over);
                    true
                }
                Poll::Ready(None) => false,
                Poll::Pending => true,
            }
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use std::{
        future::poll_fn,
        sync::atomic::AtomicUsize,
        thread,
        time::{Duration, Instant},
    };
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn whatever_comes_from_anywhere_is_found_once() {
        let (first, mut of_first) = mpsc::channel(4);
        let (second, mut of_second) = mpsc::channel(4);
        let sources: Vec<Source> = vec![
            Box::pin(stream::poll_fn(move |cx| of_first.poll_recv(cx))),
            Box::pin(stream::poll_fn(move |cx| of_second.poll_recv(cx))),
            Box::pin(stream::empty()),
            Box::pin(stream::once(async { Over::Close })),
        ];
        let mut endings = Endings::new(sources);
        assert_eq!(poll_fn(|cx| endings.poll(cx)).await, Over::Close, "it was there from the start");
        for _ in 0..3 {
            assert_eq!(poll_fn(|cx| endings.poll(cx)).now_or_never(), None);
        }
        let waiting = tokio::spawn(async move {
            let mut found = Vec::new();
            while found.len() < 3 {
                found.push(poll_fn(|cx| endings.poll(cx)).await);
            }
            found
        });
        second.send(Over::Close).await.expect("somebody listens");
        tokio::task::yield_now().await;
        first.send(Over::Close).await.expect("somebody listens");
        second.send(Over::Cut).await.expect("somebody listens");
        let patience = Duration::from_secs(20);
        let found = tokio::time::timeout(patience, waiting).await.expect("in time").expect("no panic");
        assert_eq!(found.iter().filter(|over| **over == Over::Close).count(), 2);
        assert_eq!(found.iter().filter(|over| **over == Over::Cut).count(), 1);
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What is found while somebody still wakes for it is followed by more, of which is told too.
    #[test]
    fn what_is_asked_while_it_is_raised_loses_nothing() {
        const ROUNDS: usize = 4_000;
        let (send, mut receive) = mpsc::channel(1);
        let asked = Arc::new(AtomicUsize::new(0));
        let mut endings = Endings::new(vec![Box::pin(stream::poll_fn(move |cx| receive.poll_recv(cx)))]);
        let wanted = asked.clone();
        let sender = thread::spawn(move || {
            for round in 1..=2 * ROUNDS {
                while wanted.load(Ordering::SeqCst) < round {
                    thread::yield_now();
                }
                if send.blocking_send(Over::Close).is_err() {
                    return;
                }
            }
        });
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            assert!(endings.poll(&mut cx).is_pending());
            asked.fetch_add(1, Ordering::SeqCst);
            while endings.poll(&mut cx).is_pending() {}
            // As a task that is woken does, until there is nothing and nobody wakes it.
            let mut seen = wakes.0.load(Ordering::SeqCst);
            loop {
                assert!(endings.poll(&mut cx).is_pending());
                match wakes.0.load(Ordering::SeqCst) {
                    now if now == seen => break,
                    now => seen = now,
                }
            }
            asked.fetch_add(1, Ordering::SeqCst);
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let now = wakes.0.load(Ordering::SeqCst);
                if now != seen && endings.poll(&mut cx).is_ready() {
                    break;
                }
                seen = now;
                assert!(Instant::now() < deadline, "nobody was told");
                thread::yield_now();
            }
        }
        sender.join().expect("no panic");
    }

    #[tokio::test]
    async fn another_task_is_told_once_it_asks() {
        let (send, mut receive) = mpsc::channel(1);
        let source: Source = Box::pin(stream::poll_fn(move |cx| receive.poll_recv(cx)));
        let mut endings = Endings::new(vec![source.fuse().boxed()]);
        assert_eq!(poll_fn(|cx| endings.poll(cx)).now_or_never(), None);
        let other = tokio::spawn(async move { poll_fn(|cx| endings.poll(cx)).await });
        tokio::task::yield_now().await;
        send.send(Over::Cut).await.expect("somebody listens");
        let patience = Duration::from_secs(20);
        assert_eq!(
            tokio::time::timeout(patience, other).await.expect("in time").expect("no panic"),
            Over::Cut
        );
    }
}
