//! Windows come back: whatever became of the calls of a connection, it gives afterwards what it gave at first, on both sides.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::ServerOptions;
use service::*;
use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use support::LONG;
use support::dice::Dice;
use support::frames::{
    ACK, CANCEL, DATA, END_STREAM, Frame, HEADERS, INITIAL_WINDOW_SIZE, Listener, PADDED, PING,
    PREFACE, Peer, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};

/// Connections live through so many calls.
const CALLS: u64 = 400;
/// What a stream announces that nobody reads: it is granted as far as the budget goes.
const ANNOUNCED: u32 = 600 << 10;
/// What all calls of a connection may have received and not read: little, so that what is not given back is soon missed.
const BUDGET: usize = 1 << 20;

/// A connection by hand, and what the other end lets it send.
struct Line {
    peer: Peer,
    /// It is the other end that calls.
    serves: bool,
    connection: i64,
    /// What a stream may send at first.
    initial: i64,
    streams: HashMap<u32, i64>,
    /// Streams on which the other end has begun, and those on which it has said its last.
    begun: Vec<u32>,
    ended: Vec<u32>,
}

impl Line {
    fn over(peer: Peer, serves: bool) -> Self {
        let initial = 65_535;
        let mut line = Self {
            peer,
            serves,
            connection: initial,
            initial,
            streams: HashMap::new(),
            begun: Vec::new(),
            ended: Vec::new(),
        };
        line.settle();
        line
    }

    fn to(served: &Served) -> Self {
        let mut peer = Peer::connect_raw(served.address());
        peer.send(PREFACE);
        peer.settings(&[]);
        Self::over(peer, false)
    }

    fn from(listener: &Listener) -> Self {
        let mut peer = listener.accept_raw();
        peer.settings(&[]);
        peer.read_preface();
        Self::over(peer, true)
    }

    fn note(&mut self, frame: &Frame) {
        if frame.kind == HEADERS {
            self.begun.push(frame.stream);
        }
        let number = |octets: &[u8]| i64::from(u32::from_be_bytes(octets.try_into().unwrap()));
        match frame.kind {
            WINDOW_UPDATE if frame.stream == 0 => self.connection += number(&frame.payload),
            WINDOW_UPDATE => *self.window(frame.stream) += number(&frame.payload),
            SETTINGS => {
                for setting in frame.payload.chunks(6) {
                    if setting[..2] == INITIAL_WINDOW_SIZE.to_be_bytes() {
                        self.initial = number(&setting[2..]);
                    }
                }
            }
            RST_STREAM => self.ended.push(frame.stream),
            // A client ends its half with the request.
            _ if frame.ends_stream() && !self.serves => self.ended.push(frame.stream),
            _ => {}
        }
    }

    fn window(&mut self, stream: u32) -> &mut i64 {
        let initial = self.initial;
        self.streams.entry(stream).or_insert(initial)
    }

    fn next(&mut self) -> Frame {
        let frame = self.peer.next().expect("the connection lives");
        self.note(&frame);
        frame
    }

    /// All that the other end had to say to what it was sent so far.
    fn settle(&mut self) {
        if self.serves {
            self.peer.ping(*b"settled?");
            while !matches!(self.next(), Frame { kind: PING, flags: ACK, .. }) {}
        } else {
            // A client that asks so often whether a server lives is sent away.
            let stream = self.peer.request(ECHO, b"settled?");
            self.connection -= 13;
            while !matches!(self.next(), frame if frame.stream == stream && frame.ends_stream()) {}
        }
    }

    /// Sends octets of flow control, padding perhaps, as far as the windows let it.
    fn data(&mut self, stream: u32, octets: &[u8], padding: u8) {
        let room = (*self.window(stream)).min(self.connection).min(16_384);
        let Ok(room) = usize::try_from(room - 1 - i64::from(padding)) else { return };
        let part = &octets[..octets.len().min(room)];
        let payload = match padding {
            0 => part.to_vec(),
            _ => [&[padding], part, &vec![0; padding.into()]].concat(),
        };
        *self.window(stream) -= payload.len() as i64;
        self.connection -= payload.len() as i64;
        self.peer.frame(DATA, if padding == 0 { 0 } else { PADDED }, stream, &payload);
    }

    /// Messages whole and broken off, some of none of which the other end has any use for.
    fn messages(&mut self, stream: u32, dice: &mut Dice) {
        for _ in 0..dice.below(4) {
            let announced = match dice.below(8) {
                0 => ANNOUNCED,
                _ => dice.below(30_000) as u32,
            };
            let whole = [&[0], &announced.to_be_bytes()[..], &vec![7; 20_000]].concat();
            let sent = (announced as usize + 5).min(whole.len());
            let sent = if dice.below(4) == 0 { dice.below(sent as u64) as usize } else { sent };
            for part in whole[..sent].chunks(9_000) {
                let padding = if dice.below(3) == 0 { dice.below(256) as u8 } else { 0 };
                self.data(stream, part, padding);
            }
        }
    }

    /// The stream of the next request to `path`.
    fn request(&mut self, path: &str) -> u32 {
        loop {
            let frame = self.next();
            if frame.kind == HEADERS && frame.field(":path").is_some_and(|asked| asked == path) {
                return frame.stream;
            }
        }
    }

    /// What a stream is granted for a long message that nobody reads.
    fn granted(&mut self, stream: u32) -> i64 {
        let prefix = [&[0], &ANNOUNCED.to_be_bytes()[..]].concat();
        self.data(stream, &prefix, 0);
        // As much as comes before more is asked for.
        for _ in 0..8 {
            self.data(stream, &[7; 16_000], 0);
        }
        let before = *self.window(stream);
        while *self.window(stream) == before {
            self.next();
        }
        self.settle();
        *self.window(stream)
    }
}

/// A method that reads nothing until its call is over.
fn deaf() -> Method {
    let deaf = by_hand(|_, context| {
        let (done, ended) = mpsc::channel::<()>();
        let _ = context.add_callback(move || drop(done));
        let _ = ended.recv_timeout(LONG);
        Ok(())
    });
    ("Deaf", deaf)
}

fn refuse() -> Method {
    ("Refuse", by_hand(|_, _| Err(Status::not_found("nothing of it is read"))))
}

#[test]
fn a_servers_windows_are_what_they_were_whatever_became_of_the_requests() {
    let options = ServerOptions::default().receive_budget(BUDGET);
    let server =
        Server::builder().thread_pool(ThreadPool::new(8)).options(options).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", [deaf(), refuse()]);
    let probe = |line: &mut Line| {
        let stream = line.peer.open("/test.Test/Deaf", &[]);
        let granted = line.granted(stream);
        line.peer.reset(stream, CANCEL);
        line.settle();
        granted
    };
    let mut fresh = Line::to(&served);
    let (window, granted) = (fresh.connection, probe(&mut fresh));
    let (mut line, mut dice, mut open) = (Line::to(&served), Dice::new(5), Vec::new());
    for _ in 0..CALLS {
        let paths = [ECHO, SUM, BIDI, "/test.Test/Deaf", "/test.Test/Refuse", "/test.Test/None"];
        let path = paths[dice.below(paths.len() as u64) as usize];
        let timeout = [("grpc-timeout", "2m")];
        let extra = if dice.below(4) == 0 { &timeout[..] } else { &[] };
        let stream = line.peer.open(path, extra);
        line.messages(stream, &mut dice);
        match dice.below(3) {
            // One that reads nothing would keep its worker.
            0 if path != "/test.Test/Deaf" => line.peer.frame(DATA, END_STREAM, stream, &[]),
            1 => line.peer.reset(stream, CANCEL),
            _ => open.push(stream),
        }
        if open.len() > 4 {
            let stream = open.remove(dice.below(open.len() as u64) as usize);
            if !line.ended.contains(&stream) {
                line.messages(stream, &mut dice);
            }
            line.peer.reset(stream, CANCEL);
        }
        line.settle();
    }
    for stream in open {
        line.peer.reset(stream, CANCEL);
    }
    line.settle();
    assert!(line.connection >= window / 2, "{} of {window}", line.connection);
    assert_eq!(probe(&mut line), granted);
}

#[test]
fn a_clients_windows_are_what_they_were_whatever_became_of_the_answers() {
    let listener = Listener::new();
    let probe = |line: &mut Line, channel: &Channel| {
        let reply = channel.raw_unary_unary(SIZED).unwrap().future(&Bytes::new());
        let stream = line.request(SIZED);
        line.peer.respond_head(stream);
        let granted = line.granted(stream);
        drop(reply);
        line.settle();
        granted
    };
    let connect = || {
        let channel = Channel::builder(&listener.target()).receive_budget(BUDGET);
        let channel = channel.connect_lazily().unwrap();
        let line = thread::scope(|scope| {
            scope.spawn(|| channel.wait_ready(Some(LONG)).unwrap());
            Line::from(&listener)
        });
        (line, channel)
    };
    let (mut fresh, fresh_channel) = connect();
    let (window, granted) = (fresh.connection, probe(&mut fresh, &fresh_channel));
    let ((mut line, channel), mut dice) = (connect(), Dice::new(6));
    for _ in 0..CALLS {
        let timeout = if dice.below(4) == 0 { Duration::from_millis(2) } else { LONG };
        let unary = channel.raw_unary_unary(ECHO).unwrap().timeout(timeout);
        let streaming = channel.raw_unary_stream(COUNT).unwrap().timeout(timeout);
        let future = (dice.below(2) == 0).then(|| unary.future(&Bytes::new()));
        let responses = match future {
            Some(_) => None,
            None => streaming.call(&Bytes::new()).ok(),
        };
        line.settle();
        let stream = *line.begun.last().unwrap();
        let answered = line.ended.contains(&stream);
        if !answered {
            line.peer.respond_head(stream);
            line.messages(stream, &mut dice);
        }
        let mut taken = responses.into_iter().flatten();
        match dice.below(4) {
            _ if answered => {}
            0 => line.peer.respond_trailers(stream, 0),
            1 => line.peer.respond_trailers(stream, 5),
            2 => line.peer.reset(stream, CANCEL),
            // Let go of, and some of it crosses on the wire.
            _ => {
                drop((future, taken));
                line.messages(stream, &mut dice);
                line.settle();
                continue;
            }
        }
        let _ = future.map(|mut future| future.result(None).is_ok());
        let _ = taken.by_ref().count();
        line.settle();
    }
    assert!(line.connection >= window / 2, "{} of {window}", line.connection);
    assert_eq!(probe(&mut line, &channel), granted);
}
