//! Which of several servers, or services, a request goes to.
//!
//! A strategy chooses among those that are up; a cookie that names one comes before it.

use super::{sticky::Sticky, turns::Turns};
use hyper::{HeaderMap, header::HeaderValue};
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How many answers a server's time is the mean of.
const TIMES_MAX: usize = 100;

/// Who asks, as far as a choice depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'r> {
    pub(crate) headers: &'r HeaderMap,
    pub(crate) client: Option<IpAddr>,
}

/// What was chosen.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) at: usize,
    /// What the client is to bring the next time.
    pub(crate) cookie: Option<HeaderValue>,
}

/// How is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// By turns.
    Turns,
    /// The same client gets the same.
    Hash,
    /// The less busy of two.
    TwoChoices,
    /// Whoever answers soonest.
    LeastTime,
}

impl Strategy {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "wrr" => Some(Self::Turns),
            "hrw" => Some(Self::Hash),
            "p2c" => Some(Self::TwoChoices),
            "leasttime" => Some(Self::LeastTime),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Choice {
    strategy: Strategy,
    members: Vec<Member>,
    turns: Turns,
    sticky: Option<Sticky>,
}

#[derive(Debug)]
struct Member {
    name: String,
    weight: f64,
    load: Arc<Load>,
}

/// How busy a server is, and how soon it answers.
#[derive(Debug, Default)]
pub(crate) struct Load {
    requests: AtomicUsize,
    times: Mutex<VecDeque<Duration>>,
}

impl Load {
    /// One request more, until what is given back is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Notes how long an answer's head took.
    pub(crate) fn took(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() >= TIMES_MAX {
            times.pop_front();
        }
        times.push_back(time);
    }

    /// Milliseconds, weighted by how busy it is.
    pub(super) fn score(&self, weight: f64) -> f64 {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u32::try_from(times.len()).unwrap_or(1).max(1);
        let mean = times
            .iter()
            .map(|time| time.as_millis())
            .fold(0.0, |sum, time| sum + f64::from(u32::try_from(time).unwrap_or(u32::MAX)))
            / f64::from(count);
        let requests = u32::try_from(self.requests.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        mean * (1.0 + f64::from(requests)) / weight
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Load>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Choice {
    /// Among these, by their names and weights. Whoever has no weight is never chosen; two choices know no weights.
    pub(super) fn new(strategy: Strategy, members: &[(String, i64)], sticky: Option<Sticky>) -> Self {
        let weight = |weight: i64| if strategy == Strategy::TwoChoices { 1 } else { weight.max(0) };
        let weights: Vec<i64> = members.iter().map(|(_, given)| weight(*given)).collect();
        let made = members.iter().zip(&weights).map(|((name, _), weight)| Member {
            name: name.clone(),
            weight: f64::from(u32::try_from(*weight).unwrap_or(u32::MAX)),
            load: Arc::default(),
        });
        Self { strategy, members: made.collect(), turns: Turns::new(&weights), sticky }
    }

    pub(crate) fn load(&self, at: usize) -> Option<&Arc<Load>> {
        self.members.get(at).map(|member| &member.load)
    }

    /// Whether somebody looks at loads.
    pub(crate) fn weighs_load(&self) -> bool {
        matches!(self.strategy, Strategy::TwoChoices | Strategy::LeastTime)
    }

    /// Who gets a request; none if nobody is up.
    pub(crate) fn choose(&self, asker: Asker<'_>, up: impl Fn(usize) -> bool) -> Option<Chosen> {
        let may = |at: usize| self.members.get(at).is_some_and(|member| member.weight > 0.0) && up(at);
        if let Some(sticky) = &self.sticky
            && let Some((name, newer)) = sticky.named(asker.headers, self.names())
            && let Some(at) = self.members.iter().position(|member| member.name == name).filter(|at| may(*at))
        {
            return Some(Chosen { at, cookie: newer.then(|| sticky.cookie(&name)).flatten() });
        }
        let at = match self.strategy {
            Strategy::Turns => self.turns.next_of(may)?,
            Strategy::Hash => self.by_hash(asker, may)?,
            Strategy::TwoChoices => self.of_two(may)?,
            Strategy::LeastTime => self.soonest(may)?,
        };
        let cookie = self.sticky.as_ref().and_then(|sticky| sticky.cookie(&self.members.get(at)?.name));
        Some(Chosen { at, cookie })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    fn by_hash(&self, asker: Asker<'_>, may: impl Fn(usize) -> bool) -> Option<usize> {
        let source = asker.client.map(|client| client.to_string()).unwrap_or_default();
        let score = |at: usize| {
            let member = &self.members[at];
            #[expect(clippy::cast_precision_loss, reason = "a share of the whole is wanted, not the number")]
            let share = hash(&[source.as_bytes(), member.name.as_bytes()]) as f64 / 2_f64.powi(64);
            member.weight / -share.ln()
        };
        (0..self.members.len())
            .filter(|at| may(*at))
            .max_by(|left, right| score(*left).total_cmp(&score(*right)))
    }

    fn of_two(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let able: Vec<usize> = (0..self.members.len()).filter(|at| may(*at)).collect();
        let chance = chance();
        let count = able.len() as u64;
        let first = able.get(usize::try_from(chance.checked_rem(count)?).ok()?)?;
        if count == 1 {
            return Some(*first);
        }
        let rest: Vec<usize> = able.iter().copied().filter(|at| at != first).collect();
        let second = rest.get(usize::try_from((chance >> 32) % (count - 1)).ok()?)?;
        let busy = |at: &usize| self.members[*at].load.requests.load(Ordering::Relaxed);
        Some(if busy(second) < busy(first) { *second } else { *first })
    }

    fn soonest(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let scores: Vec<Option<f64>> = (0..self.members.len())
            .map(|at| may(at).then(|| self.members[at].load.score(self.members[at].weight)))
            .collect();
        let least = scores.iter().flatten().copied().min_by(f64::total_cmp)?;
        let best = |at: usize| scores.get(at).is_some_and(|score| *score == Some(least));
        self.turns.next_of(best)
    }
}

/// A number that nobody can tell beforehand.
fn chance() -> u64 {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEYS.get_or_init(RandomState::new).hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The hash of Fowler, Noll and Vo with 64 bits, stirred: names that differ in their last letter alone would get
/// neighbouring numbers.
fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Cookie;

    fn choice(strategy: Strategy, weights: &[i64]) -> Choice {
        let members: Vec<_> =
            weights.iter().enumerate().map(|(at, weight)| (format!("http://{at}"), *weight)).collect();
        Choice::new(strategy, &members, None)
    }

    fn asker(headers: &HeaderMap, client: u8) -> Asker<'_> {
        Asker { headers, client: Some([10, 0, 0, client].into()) }
    }

    #[test]
    fn a_client_stays_with_its_server_by_hash() {
        let (headers, choice) = (HeaderMap::new(), choice(Strategy::Hash, &[1, 1, 2]));
        let mut counts = [0_u32; 3];
        for client in 0..=255 {
            let at = choice.choose(asker(&headers, client), |_| true).expect("one").at;
            assert_eq!(choice.choose(asker(&headers, client), |_| true).expect("one").at, at);
            // Whoever was with another one stays there when one goes.
            let without = choice.choose(asker(&headers, client), |other| other != 0).expect("one").at;
            assert!(without != 0 && (at == 0 || without == at));
            counts[at] += 1;
        }
        assert!(counts[0] > 30 && counts[1] > 30 && counts[2] > counts[0], "{counts:?}");
        assert!(choice.choose(asker(&headers, 1), |_| false).is_none());
    }

    #[test]
    fn of_two_the_less_busy_one_is_chosen() {
        let (headers, choice) = (HeaderMap::new(), choice(Strategy::TwoChoices, &[0, 1]));
        let busy = choice.load(0).expect("a load").busy();
        for _ in 0..20 {
            assert_eq!(choice.choose(asker(&headers, 1), |_| true).expect("one").at, 1);
        }
        drop(busy);
        let found: Vec<_> =
            (0..200).map(|_| choice.choose(asker(&headers, 1), |_| true).expect("one").at).collect();
        assert!(found.contains(&0) && found.contains(&1));
        assert_eq!(choice.choose(asker(&headers, 1), |at| at == 0).expect("one").at, 0);
    }

    #[test]
    fn whoever_answers_soonest_is_chosen() {
        let (headers, choice) = (HeaderMap::new(), choice(Strategy::LeastTime, &[1, 1, 0]));
        let at = |up: fn(usize) -> bool| choice.choose(asker(&headers, 1), up).map(|chosen| chosen.at);
        assert_eq!([at(|_| true), at(|_| true)], [Some(0), Some(1)], "by turns while nothing is known");
        choice.load(0).expect("a load").took(Duration::from_millis(50));
        choice.load(1).expect("a load").took(Duration::from_millis(20));
        assert_eq!([at(|_| true), at(|_| true)], [Some(1), Some(1)]);
        let _busy: Vec<_> = (0..3).map(|_| choice.load(1).expect("a load").busy()).collect();
        assert_eq!(at(|_| true), Some(0));
        assert_eq!(at(|at| at == 1), Some(1));
        assert_eq!(at(|at| at == 2), None);
    }

    #[test]
    fn a_cookie_comes_first() {
        let members = [("http://a".to_owned(), 1), ("http://b".to_owned(), 1)];
        let config = Cookie { name: "stay".to_owned(), ..Cookie::default() };
        let choice = Choice::new(Strategy::Turns, &members, Some(Sticky::new(&config, "s@file")));
        let first = choice.choose(asker(&HeaderMap::new(), 1), |_| true).expect("one");
        let cookie = first.cookie.expect("a cookie");
        let cookie = cookie.to_str().expect("text").split(';').next().expect("a pair").to_owned();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", format!("other=1; {cookie}").parse().expect("a value"));
        for _ in 0..3 {
            let next = choice.choose(asker(&headers, 1), |_| true).expect("one");
            assert_eq!((next.at, next.cookie.is_some()), (first.at, false));
        }
        let other = choice.choose(asker(&headers, 1), |at| at != first.at).expect("one");
        assert!(other.at != first.at && other.cookie.is_some());
    }
}
