//! The server behind all gateways: as little work for each request as there can be.
//!
//! One thread, pinned to the core of whoever asks; it reads heads of requests without bodies and answers with bytes made
//! beforehand: `/large` with 100 KiB, any other path with 1 KiB.

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    thread::{CpuSet, sched_setaffinity},
};
use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
};

/// Marks the listener among what is waited for; no descriptor has this number.
const LISTENER: u64 = u64::MAX;
/// What ends a request's head.
const END: &[u8] = b"\r\n\r\n";

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What came of a head that is not whole yet.
    head: Vec<u8>,
    waiting: Vec<u8>,
    sent: usize,
}

/// Serves on a thread of its own until the process ends.
pub(crate) fn start(core: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        pin(core);
        serve(&listener)
    });
    address
}

/// Keeps the calling thread on one core.
fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}

fn answer(length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

fn serve(listener: &TcpListener) -> ! {
    let answers = Answers { small: answer(1 << 10), large: answer(100 << 10) };
    let poll = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&poll, listener, EventData::new_u64(LISTENER), EventFlags::IN).unwrap();
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut events = Vec::with_capacity(1_024);
    loop {
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            waited => waited.unwrap(),
        };
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let key = u64::try_from(stream.as_raw_fd()).unwrap();
                    let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                    epoll::add(&poll, &stream, EventData::new_u64(key), both).unwrap();
                    let connection = Connection { stream, head: Vec::new(), waiting: Vec::new(), sent: 0 };
                    connections.insert(key, connection);
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && connection.go_on(&answers).is_err()
            {
                connections.remove(&key);
            }
        }
    }
}

impl Connection {
    /// Reads and writes all that can be; an error where the connection is over.
    fn go_on(&mut self, answers: &Answers) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        self.flush()?;
        loop {
            let read = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.head.extend_from_slice(&buffer[..read]);
            while let Some(end) = self.head.windows(END.len()).position(|bytes| bytes == END) {
                let large = self.head.starts_with(b"GET /large");
                self.waiting.extend_from_slice(if large { &answers.large } else { &answers.small });
                self.head.drain(..end + END.len());
            }
            self.flush()?;
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.waiting.len() {
            match self.stream.write(&self.waiting[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.waiting.clear();
        self.sent = 0;
        Ok(())
    }
}
