//! Connections of HTTP/1.1 to servers.
//!
//! A connection has no task of its own: whoever waits for its answer, or reads it, carries it on meanwhile. So what comes
//! from a server wakes only the task that wants it. While nobody uses it, it is looked at now and then, and when it
//! is to be used again.

use super::{Body, dial::Stream};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

/// Most bytes of an answer's head; as much is read ahead of a slow client, and waits for a slow server.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most fields of an answer's head.
const HEAD_FIELDS_MAX: usize = 256;

/// The type that hyper has for it has no name outside.
type Conversation = dyn Future<Output = hyper::Result<()>> + Send;

/// A connection, for one request at a time.
pub(super) struct First {
    sender: SendRequest<Body>,
    /// None once it has ended: how, is what its request is told.
    conversation: Option<Pin<Box<Conversation>>>,
}

impl First {
    /// Greets a server that was connected to.
    pub(super) async fn greet(stream: Stream) -> Result<Self, hyper::Error> {
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEAD_FIELDS_MAX);
        let (sender, connection) = builder.handshake(stream).await?;
        Ok(Self { sender, conversation: Some(Box::pin(connection.with_upgrades())) })
    }

    /// Reads and writes what can be.
    pub(super) fn carry_on(&mut self, cx: &mut Context<'_>) {
        if let Some(conversation) = &mut self.conversation
            && conversation.as_mut().poll(cx).is_ready()
        {
            self.conversation = None;
        }
    }

    /// Whether a request can be sent, as far as is known on this side.
    pub(super) fn is_free(&mut self) -> bool {
        self.carry_on(&mut Context::from_waker(Waker::noop()));
        self.conversation.is_some() && self.sender.is_ready()
    }

    /// Sends a request, and waits for the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let conversation = &mut self.conversation;
        poll_fn(|cx| {
            if let Some(going) = conversation
                && going.as_mut().poll(cx).is_ready()
            {
                *conversation = None;
            }
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// What is left of the connection once both sides have agreed to go on with something else; to be carried on by
    /// somebody.
    pub(super) async fn switched(mut self) {
        poll_fn(|cx| {
            self.carry_on(cx);
            if self.conversation.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
