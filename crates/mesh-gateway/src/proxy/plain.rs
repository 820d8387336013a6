//! Connections of HTTP/1.1 whose requests are plain: a head, no body, and nothing wanted but an answer.
//!
//! Most requests are, and they are read and answered here, without a detour. At the first one that is not, the connection
//! goes on with hyper from that request's first byte, for as long as it lasts; nothing of it is decided here.

use super::{
    answer::{Answer, head_of},
    endings::Endings,
    entry::{head_bytes_max, head_max},
    forwarded::Connected,
    handler::{Context, Routed, answer, routed},
    lasting::{Lasting, Over, Underway},
    uploaded::Blame,
};
use crate::{
    http1::{self, Asked, Length, Unsent},
    observe::{Agreed, Unanswered, Watched},
    rewound::Rewound,
    turn,
    upstream::Body,
};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Body as _};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as Wakes, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Bytes that are read at a time, and most that a client may send ahead of an answer.
const READ_BYTES: usize = 8 << 10;
/// Most bytes of an answer that are collected before they are sent.
const COLLECTED_BYTES_MAX: usize = 64 << 10;
/// Parts of bodies from this size on are sent from where they are.
const PART_BYTES: usize = 8 << 10;

/// How long a client may take to take its last bytes.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// Who asks, over a connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) context: Arc<Context>,
    pub(super) from: Connected,
    pub(super) agreed: Option<Agreed>,
    pub(super) lasting: Arc<Lasting>,
}

/// Why a connection does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended;

type Told = Response<Watched<Body, ()>>;

/// A request, from its head to its answer.
struct Question {
    routed: Result<Routed, Box<Answer>>,
    watch: Unanswered,
    underway: Underway,
    asks_for_head: bool,
    is_last: bool,
}

impl Question {
    fn begin(client: &Client, request: Request<Body>) -> Self {
        let Client { context, from, agreed, lasting } = client;
        let underway = lasting.begin();
        let watch = context.site.observer.begin(&context.entry, from.client, *agreed, &request);
        let (asks_for_head, is_last) = (request.method() == Method::HEAD, http1::is_last(request.headers()));
        let routed = routed(context, from.clone(), watch.clone(), request, Blame::default());
        let watch = Unanswered::new(watch);
        Self { routed, watch, underway, asks_for_head, is_last }
    }

    fn end(self, answer: Answer) -> (Told, Underway) {
        let answer = if self.asks_for_head { head_of(answer) } else { answer };
        (self.watch.end(answer, ()), self.underway)
    }
}

/// Serves a connection for as long as its requests are plain; what is left for others to go on with, if anything is.
pub(super) async fn serve<S>(client: &Client, stream: S, endings: &mut Endings) -> Option<Rewound<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut talk = Talk {
        stream,
        read: BytesMut::new(),
        unsent: Unsent::default(),
        part: Bytes::new(),
        searched: 0,
        last: false,
        cut: false,
        endings,
    };
    loop {
        let mut question = match talk.asked(client).await {
            Ok(Asked::Plain(request)) => Question::begin(client, request.map(|()| Body::Empty)),
            Ok(_) => return Some(Rewound { read: talk.read, stream: talk.stream }),
            Err(Ended) => break,
        };
        talk.last |= question.is_last;
        let Ok(answer) = talk.answered(client, &mut question).await else { return None };
        let heads_only = question.asks_for_head;
        // Under way until its last byte is sent: it is what the client has to take in time.
        let (told, _underway) = question.end(answer);
        if talk.tell(told, heads_only).await.is_err() || talk.last {
            break;
        }
    }
    if talk.cut {
        return None;
    }
    // Whoever is told of the end and sends no more sees it as such, and not as a connection that broke.
    let leaving = poll_fn(|cx| match Pin::new(&mut talk.stream).poll_shutdown(cx) {
        Poll::Pending if talk.poll_over(cx).is_ok() => Poll::Pending,
        _ => Poll::Ready(()),
    });
    let _ = tokio::time::timeout(LEAVE_MAX, leaving).await;
    None
}

/// A connection, while it is spoken over.
struct Talk<'e, S> {
    stream: S,
    read: BytesMut,
    unsent: Unsent,
    /// What comes behind that.
    part: Bytes,
    /// How much of what was read is known to be no whole head.
    searched: usize,
    /// Whether nothing is asked any more, and whether it ends at once.
    last: bool,
    cut: bool,
    endings: &'e mut Endings,
}

impl<S> Talk<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The next request, or something else.
    async fn asked(&mut self, client: &Client) -> Result<Asked, Ended> {
        let options = &client.context.options;
        let mut due: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            loop {
                if !self.read.is_empty() {
                    match http1::request(&mut self.read, &mut self.searched, head_bytes_max(options)) {
                        Asked::Partial => {}
                        asked => return Poll::Ready(Ok(asked)),
                    }
                }
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(_) => return Poll::Ready(Err(Ended)),
                    Poll::Pending => {}
                }
                if self.poll_over(cx).is_err() || self.last {
                    return Poll::Ready(Err(Ended));
                }
                if self.read.is_empty() {
                    self.read = BytesMut::new();
                    return Poll::Pending;
                }
                let due = due.get_or_insert_with(|| Box::pin(sleep(head_max(options))));
                return due.as_mut().poll(cx).map(|()| Err(Ended));
            }
        })
        .await
    }

    /// The answer to a request; none if the client has left, or took too long.
    async fn answered(&mut self, client: &Client, question: &mut Question) -> Result<Answer, Ended> {
        let mut answering = pin!(answer(&client.context, &mut question.routed));
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending if self.poll_over(cx).is_err() || self.is_gone(cx) => Poll::Ready(Err(Ended)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Sends an answer. One that breaks off ends the connection where it does.
    async fn tell(&mut self, mut told: Told, heads_only: bool) -> Result<(), Ended> {
        // It may have come while nothing was waited for.
        poll_fn(|cx| Poll::Ready(self.poll_over(cx))).await?;
        self.last |= http1::is_last(told.headers());
        let status = told.status();
        let bodiless = heads_only || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        // What is made of a body as it comes may have kept its length.
        let exact = told.body().size_hint().exact().or_else(|| http1::announced(told.headers()));
        let length = match exact {
            _ if status == StatusCode::NO_CONTENT => Length::None,
            _ if bodiless => Length::Said,
            Some(count) => Length::Bytes(count),
            None => Length::Chunked,
        };
        http1::response_head(status, told.headers(), length, self.last, self.unsent.bytes());
        let mut left = exact;
        loop {
            if bodiless {
                break;
            }
            let frame = poll_fn(|cx| {
                let frame = Pin::new(told.body_mut()).poll_frame(cx);
                if frame.is_ready() {
                    return frame.map(Ok);
                }
                // What is there goes out while more is waited for.
                match self.poll_send(cx) {
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Ended)),
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
                match self.poll_over(cx).is_err() || self.is_gone(cx) {
                    true => Poll::Ready(Err(Ended)),
                    false => Poll::Pending,
                }
            });
            let Some(frame) = frame.await? else { break };
            let Ok(frame) = frame else {
                // What has come is the client's, and so is that it is not all.
                self.send().await?;
                return Err(Ended);
            };
            let Ok(data) = frame.into_data() else { continue };
            match &mut left {
                Some(left) => {
                    let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    *left = left.checked_sub(count).ok_or(Ended)?;
                    self.collect(data).await?;
                }
                None => self.collect_chunk(data).await?,
            }
        }
        match left {
            None if !bodiless => http1::last_chunk(&HeaderMap::new(), self.unsent.bytes()),
            Some(1..) if !bodiless => return Err(Ended),
            _ => {}
        }
        // Whoever watches it sees its end, and the answer is over, before the client may ask again.
        let (head, body) = told.into_parts();
        drop(body);
        http1::recycle(head.headers);
        turn::to_send().await;
        self.send().await
    }

    async fn collect(&mut self, data: Bytes) -> Result<(), Ended> {
        if data.len() < PART_BYTES {
            self.unsent.bytes().extend_from_slice(&data);
        } else {
            self.part = data;
        }
        if self.part.is_empty() && self.unsent.left().len() < COLLECTED_BYTES_MAX {
            Ok(())
        } else {
            self.send().await
        }
    }

    async fn collect_chunk(&mut self, data: Bytes) -> Result<(), Ended> {
        http1::chunk(&data, self.unsent.bytes());
        if self.unsent.left().len() < COLLECTED_BYTES_MAX { Ok(()) } else { self.send().await }
    }

    /// Sends all that is collected.
    async fn send(&mut self) -> Result<(), Ended> {
        poll_fn(|cx| match self.poll_send(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| Ended)),
            Poll::Pending if self.poll_over(cx).is_err() => Poll::Ready(Err(Ended)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Wakes<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() || !self.part.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let count = match (self.unsent.is_empty(), self.part.is_empty()) {
                (_, true) => ready!(stream.poll_write(cx, self.unsent.left()))?,
                (true, false) => ready!(stream.poll_write(cx, &self.part))?,
                (false, false) => {
                    let parts = [IoSlice::new(self.unsent.left()), IoSlice::new(&self.part)];
                    ready!(stream.poll_write_vectored(cx, &parts))?
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_first = count.min(self.unsent.left().len());
            self.unsent.sent(of_first, 2 * COLLECTED_BYTES_MAX);
            self.part.advance(count - of_first);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Reads; what waits holds no more room than it needs, and a connection that waits none.
    fn poll_fill(&mut self, cx: &mut Wakes<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.read.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Whether the client has left. What it asks meanwhile is for afterwards.
    fn is_gone(&mut self, cx: &mut Wakes<'_>) -> bool {
        while self.read.len() < READ_BYTES {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return true,
                Poll::Pending => return false,
            }
        }
        false
    }

    /// Notes when the end has come; whether what is under way may be finished.
    fn poll_over(&mut self, cx: &mut Wakes<'_>) -> Result<(), Ended> {
        while let Poll::Ready(over) = self.endings.poll(cx) {
            match over {
                Over::Close => self.last = true,
                Over::Cut => {
                    self.cut = true;
                    return Err(Ended);
                }
            }
        }
        Ok(())
    }
}
