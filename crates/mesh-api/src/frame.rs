//! Lines on the socket: bounded, and with descriptors beside the first byte of a request.

use crate::{client::CallError, message::Message, request::Envelope};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use tokio::{io::Interest, net::UnixStream};

/// Longest line in either direction in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Descriptors that come with one request.
pub(crate) const DESCRIPTORS: usize = 3;
/// Bytes read at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the connection ended within a line")]
    Torn,
}

/// Reads lines from one connection and collects the descriptors that come along.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are known to hold no line feed.
    searched: usize,
    descriptors: Vec<OwnedFd>,
}

impl LineReader {
    /// The next line without its line feed; `None` at the end of the connection.
    pub(crate) async fn line(&mut self, stream: &UnixStream) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.is_too_long() {
                return Err(LineError::TooLong);
            }
            if stream.async_io(Interest::READABLE, || self.receive(stream.as_fd())).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(LineError::Torn) };
            }
        }
    }

    /// The next line of what came.
    pub(crate) fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.searched + at + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.searched = 0;
        Some(line)
    }

    /// Whether what came without a line feed is more than a line may be.
    pub(crate) fn is_too_long(&self) -> bool {
        self.searched > LINE_BYTES_MAX
    }

    /// The descriptors that came so far.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// Takes what is there, once; 0 at the end of the connection.
    pub(crate) fn receive(&mut self, connection: BorrowedFd<'_>) -> io::Result<usize> {
        let mut block = [0; BLOCK_BYTES];
        let (read, mut descriptors) = receive(connection, &mut block)?;
        // More than a request can use are closed here.
        descriptors.truncate(DESCRIPTORS.saturating_sub(self.descriptors.len()));
        self.descriptors.append(&mut descriptors);
        self.buffer.extend_from_slice(&block[..read]);
        Ok(read)
    }
}

fn receive(socket: BorrowedFd<'_>, block: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(block)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    Ok((received.bytes, descriptors))
}

/// Sends a line (which brings its own line feed), with descriptors beside its first bytes.
pub(crate) async fn send(
    stream: &UnixStream,
    mut line: &[u8],
    descriptors: Option<&[BorrowedFd<'_>; DESCRIPTORS]>,
) -> io::Result<()> {
    if let Some(descriptors) = descriptors {
        let sent = stream
            .async_io(Interest::WRITABLE, || send_part(stream.as_fd(), line, Some(descriptors)))
            .await?;
        line = &line[sent..];
    }
    while !line.is_empty() {
        stream.writable().await?;
        match stream.try_write(line) {
            Ok(sent) => line = &line[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends as much of a line as there is room for, with descriptors beside its first byte; the number of bytes.
pub(crate) fn send_part(
    connection: BorrowedFd<'_>,
    line: &[u8],
    descriptors: Option<&[BorrowedFd<'_>; DESCRIPTORS]>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptors) = descriptors {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    Ok(rustix::net::sendmsg(connection, &[IoSlice::new(line)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// A request as a line.
pub(crate) fn encode(envelope: &Envelope) -> Result<Vec<u8>, CallError> {
    let mut line = serde_json::to_vec(envelope).map_err(CallError::Encode)?;
    if line.len() > LINE_BYTES_MAX {
        return Err(CallError::TooLarge);
    }
    line.push(b'\n');
    Ok(line)
}

/// What a line says.
pub(crate) fn decode(line: &[u8]) -> Result<Message, CallError> {
    serde_json::from_slice(line).map_err(|error| CallError::Unreadable { what: error.to_string() })
}

/// Resolves when the other side closed the connection; what it still sends is dropped.
pub(crate) async fn closed(stream: &UnixStream) {
    let mut block = [0; 512];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut block) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
