//! One request of a process's only thread, which has nothing to do until the answer is there.
//!
//! For commands whose time is felt: no runtime is made for it. The wait is bounded as a whole, so it is for requests that
//! are answered at once.

use crate::{
    client::CallError,
    frame::{self, LineReader},
    message::{Answer, Message},
    request::{Envelope, Request, VERSION},
};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

/// Sends one request to the supervisor behind `socket` and waits for its end, as
/// [`Client::call`](crate::client::Client::call) does, but for no longer than `within`, and on this thread. What is
/// said before the answer is dropped.
///
/// # Errors
/// Where nobody answers in time, the connection breaks, or the supervisor refuses.
pub fn call(
    socket: &Path,
    request: Request,
    descriptors: Option<[BorrowedFd<'_>; frame::DESCRIPTORS]>,
    within: Duration,
) -> Result<Answer, CallError> {
    let line = frame::encode(&Envelope { version: VERSION, registry: None, request })?;
    let deadline = Instant::now() + within;
    let connection = connected(socket, deadline)
        .map_err(|source| CallError::Connect { socket: socket.to_owned(), source })?;
    send(&connection, &line, descriptors.as_ref(), deadline).map_err(CallError::Send)?;
    let mut reader = LineReader::default();
    loop {
        let Some(line) = reader.take_line() else {
            wait_until(&connection, Timeout::Recv, deadline).map_err(|_| CallError::Ended)?;
            match reader.receive(connection.as_fd()) {
                Ok(0) | Err(_) => return Err(CallError::Ended),
                Ok(_) if reader.is_too_long() => {
                    return Err(CallError::Unreadable { what: frame::LineError::TooLong.to_string() });
                }
                Ok(_) => continue,
            }
        };
        match frame::decode(&line)? {
            Message::Answer(answer) => return Ok(answer),
            Message::Error(error) => return Err(CallError::Refused(error)),
            _ => {}
        }
    }
}

fn connected(socket: &Path, deadline: Instant) -> io::Result<OwnedFd> {
    let connection = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    wait_until(&connection, Timeout::Send, deadline)?;
    connect(&connection, &SocketAddrUnix::new(socket)?)?;
    Ok(connection)
}

fn send(
    connection: &OwnedFd,
    mut line: &[u8],
    descriptors: Option<&[BorrowedFd<'_>; frame::DESCRIPTORS]>,
    deadline: Instant,
) -> io::Result<()> {
    let mut beside = descriptors;
    while !line.is_empty() {
        wait_until(connection, Timeout::Send, deadline)?;
        let sent = frame::send_part(connection.as_fd(), line, beside.take())?;
        line = &line[sent..];
    }
    Ok(())
}

/// Has the next wait on a connection end at the deadline.
fn wait_until(connection: &OwnedFd, which: Timeout, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(set_socket_timeout(connection, which, Some(left))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ApiError, ErrorKind, Level, Progress};
    use std::{
        io::Write,
        os::unix::net::{UnixListener, UnixStream},
    };

    /// What comes of a call to someone who says this and hangs up.
    fn called(said: &str) -> Result<Answer, CallError> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let said = said.to_owned();
        let other = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            // The request is read first: whoever hangs up on it breaks the connection.
            let mut byte = [0];
            while byte != *b"\n" {
                io::Read::read_exact(&mut connection, &mut byte).unwrap();
            }
            connection.write_all(said.as_bytes()).unwrap();
        });
        let answer = call(&socket, Request::Ping, None, Duration::from_secs(30));
        // Where the call did not get that far, this is what the other one waits for.
        drop(UnixStream::connect(&socket));
        drop(other.join());
        answer
    }

    #[test]
    fn an_answer_is_found_behind_what_is_said_before() {
        let line = |message: &Message| serde_json::to_string(message).unwrap();
        let note = Progress::Note { level: Level::Warning, text: "x".to_owned() };
        let (progress, done) = (line(&Message::Progress(note)), line(&Message::Answer(Answer::Done)));
        let (kind, message) = (ErrorKind::Ending, "x".to_owned());
        let refused = line(&Message::Error(ApiError { kind, message, hint: None, failures: Vec::new() }));
        for before in ["", &format!("{progress}\n")] {
            let answer = called(&format!("{before}{done}\n{refused}\n"));
            assert!(matches!(answer, Ok(Answer::Done)), "{answer:?}");
            let refusal = called(&format!("{before}{refused}\n{done}\n"));
            assert!(matches!(refusal, Err(CallError::Refused(_))), "{refusal:?}");
        }
        for torn in ["", &done] {
            assert!(matches!(called(torn), Err(CallError::Ended)), "{torn:?}");
        }
        assert!(matches!(called("?\n"), Err(CallError::Unreadable { .. })));
    }

    #[test]
    fn a_silent_supervisor_is_left_at_the_deadline() {
        let within = Duration::from_millis(500);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        // It takes connections by being there, and nobody looks at them.
        let _listener = UnixListener::bind(&socket).unwrap();
        let begun = Instant::now();
        let answer = call(&socket, Request::Ping, None, within);
        let took = begun.elapsed();
        // Where this process was kept waiting itself, the time is over before anything is sent.
        assert!(
            matches!(answer, Err(CallError::Ended | CallError::Send(_) | CallError::Connect { .. })),
            "{answer:?}"
        );
        assert!(took >= within / 2, "{took:?}");
        let nobody = call(Path::new("/nowhere/s"), Request::Ping, None, Duration::from_secs(1));
        assert!(nobody.is_err_and(|error| error.is_nobody()));
    }
}
