//! An HTTP/2 peer of either role that writes and reads frames with its own few lines, over a plain socket.
//!
//! It does what it is told and no more, but for three things without which nothing goes on: while it reads it answers
//! SETTINGS and PING, and gives back flow control credit. Each can be turned off.

use super::{LONG, hpack};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

/// One frame as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            kind => panic!("a frame of kind {kind} has no error code"),
        };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// GOAWAY's last stream.
    pub fn last_stream(&self) -> u32 {
        assert_eq!(self.kind, GOAWAY);
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    pub fn fields(&self) -> hpack::Fields {
        assert_eq!(self.kind, HEADERS, "{self:?}");
        assert!(self.flags & END_HEADERS != 0, "the peer reads blocks of one frame only");
        hpack::decode(&self.payload)
    }

    /// A field of HEADERS, as text.
    pub fn field(&self, name: &str) -> Option<String> {
        let found = self.fields().into_iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8_lossy(&value).into_owned())
    }
}

/// The bytes of one frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A gRPC message with its prefix.
pub fn message(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The fields of a gRPC request to `path`.
pub fn request_fields(path: &str) -> Vec<(String, String)> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The block of a gRPC request to `path`.
pub fn hpack_request(path: &str) -> Vec<u8> {
    hpack::encode(&request_fields(path))
}

/// A listening socket whose connections are talked to by hand.
pub struct Listener(TcpListener);

impl Listener {
    pub fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn target(&self) -> String {
        self.address().to_string()
    }

    /// The next connection, before a byte was exchanged.
    pub fn accept_raw(&self) -> Peer {
        Peer::over(self.0.accept().unwrap().0)
    }

    /// The next connection with the preface read, our SETTINGS sent and the client's acknowledged.
    pub fn accept(&self) -> Peer {
        self.accept_with(&[])
    }

    pub fn accept_with(&self, settings: &[(u16, u32)]) -> Peer {
        let mut peer = self.accept_raw();
        peer.settings(settings);
        peer.read_preface();
        peer.wait_for(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0);
        peer
    }
}

/// An address at which nobody listens yet: whoever connects is refused. Nobody else gets it meanwhile, as could be with one
/// that was given back.
pub struct Vacant(socket2::Socket);

impl Vacant {
    pub fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    pub fn target(&self) -> String {
        self.0.local_addr().unwrap().as_socket().unwrap().to_string()
    }

    /// Somebody listens from now on.
    pub fn listen(self) -> Listener {
        Listener(self.into_listener())
    }

    /// The same, for a server.
    pub fn into_listener(self) -> TcpListener {
        self.0.listen(128).unwrap();
        self.0.into()
    }
}

/// One end of a connection.
pub struct Peer {
    socket: TcpStream,
    /// Answer SETTINGS with an ACK, and PING, while reading.
    pub answers: bool,
    /// Give credit back for every DATA frame, connection and stream, while reading.
    pub credits: bool,
    /// What was read while something else was waited for.
    later: Vec<Frame>,
    next_stream: u32,
}

impl Peer {
    fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.set_write_timeout(Some(LONG)).unwrap();
        Self { socket, answers: true, credits: true, later: Vec::new(), next_stream: 1 }
    }

    /// A connection on which nothing was sent.
    pub fn connect_raw(to: impl ToSocketAddrs) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    /// A client's connection: preface and SETTINGS are exchanged.
    pub fn connect(to: impl ToSocketAddrs) -> Self {
        Self::connect_with(to, &[])
    }

    pub fn connect_with(to: impl ToSocketAddrs, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::connect_raw(to);
        peer.send(PREFACE);
        peer.settings(settings);
        let first = peer.read_frame().expect("the server's first frame");
        assert_eq!(
            (first.kind, first.flags & ACK),
            (SETTINGS, 0),
            "W65: the server's first frame is SETTINGS"
        );
        peer.answer(&first);
        peer
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub fn patience(&self, limit: Duration) {
        self.socket.set_read_timeout(Some(limit)).unwrap();
    }

    pub fn read_preface(&mut self) {
        let mut preface = [0; PREFACE.len()];
        self.socket.read_exact(&mut preface).unwrap();
        assert_eq!(preface, PREFACE);
    }

    // -- sending

    /// Sends bytes as they are. The other end may have gone; what matters then is what it said before.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(SETTINGS, 0, 0, &payload);
    }

    pub fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        end: bool,
    ) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &hpack::encode(fields));
    }

    pub fn data(&mut self, stream: u32, payload: &[u8], end: bool) {
        self.frame(DATA, if end { END_STREAM } else { 0 }, stream, payload);
    }

    /// A whole gRPC message, in frames of 16 KiB; whether the peer gave credit for it is not looked at.
    pub fn message(&mut self, stream: u32, payload: &[u8], end: bool) {
        let bytes = message(payload);
        let last = bytes.len().div_ceil(16_384) - 1;
        for (n, part) in bytes.chunks(16_384).enumerate() {
            self.data(stream, part, end && n == last);
        }
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub fn goaway(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.frame(GOAWAY, 0, 0, &payload);
    }

    pub fn window_update(&mut self, stream: u32, credit: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &credit.to_be_bytes());
    }

    pub fn ping(&mut self, opaque: [u8; 8]) {
        self.frame(PING, 0, 0, &opaque);
    }

    /// Begins a request on the next free stream; the body is still to come.
    pub fn open(&mut self, path: &str, extra: &[(&str, &str)]) -> u32 {
        let mut fields = request_fields(path);
        fields.extend(extra.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        self.open_with(&fields, false)
    }

    pub fn open_with<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: &[(N, V)],
        end: bool,
    ) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.headers(stream, fields, end);
        stream
    }

    /// A whole request with one message.
    pub fn request(&mut self, path: &str, body: &[u8]) -> u32 {
        let stream = self.open(path, &[]);
        self.message(stream, body, true);
        stream
    }

    pub fn respond_head(&mut self, stream: u32) {
        self.headers(stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
    }

    pub fn respond_trailers(&mut self, stream: u32, status: u32) {
        self.headers(stream, &[("grpc-status", status.to_string())], true);
    }

    /// A whole answer with one message and status OK.
    pub fn respond(&mut self, stream: u32, body: &[u8]) {
        self.respond_head(stream);
        self.message(stream, body, false);
        self.respond_trailers(stream, 0);
    }

    pub fn shutdown_write(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Closes with a TCP reset.
    pub fn abort(self) {
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    // -- receiving

    /// The next frame off the socket; `None` when the other end has closed, in order or not.
    pub fn read_frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if !self.fill(&mut head) {
            return None;
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap()) & 0x7fff_ffff;
        let mut payload = vec![0; len];
        self.fill(&mut payload).then(|| Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn fill(&mut self, into: &mut [u8]) -> bool {
        match self.socket.read_exact(into) {
            Ok(()) => true,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                panic!("the peer sent nothing for {:?}", self.socket.read_timeout())
            }
            Err(_) => false,
        }
    }

    fn answer(&mut self, frame: &Frame) {
        if self.answers && frame.flags & ACK == 0 {
            match frame.kind {
                SETTINGS => self.frame(SETTINGS, ACK, 0, &[]),
                PING => self.frame(PING, ACK, 0, &frame.payload),
                _ => {}
            }
        }
        if self.credits && frame.kind == DATA && !frame.payload.is_empty() {
            self.window_update(0, frame.payload.len() as u32);
            if !frame.ends_stream() {
                self.window_update(frame.stream, frame.payload.len() as u32);
            }
        }
    }

    /// The next frame; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Frame> {
        if !self.later.is_empty() {
            return Some(self.later.remove(0));
        }
        let frame = self.read_frame()?;
        self.answer(&frame);
        Some(frame)
    }

    /// A frame that was read already while something else was waited for.
    pub fn next_ready(&mut self) -> Option<Frame> {
        (!self.later.is_empty()).then(|| self.later.remove(0))
    }

    /// The first frame that `wanted` holds for. Those before it stay to be read.
    pub fn wait_for(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
        if let Some(at) = self.later.iter().position(&mut wanted) {
            return self.later.remove(at);
        }
        loop {
            let Some(frame) = self.read_frame() else {
                panic!("the connection ended; before it came {:?}", self.later)
            };
            self.answer(&frame);
            if wanted(&frame) {
                return frame;
            }
            self.later.push(frame);
        }
    }

    pub fn wait_kind(&mut self, kind: u8) -> Frame {
        self.wait_for(|frame| {
            frame.kind == kind && (kind != SETTINGS && kind != PING || frame.flags & ACK == 0)
        })
    }

    /// The next request's HEADERS (for a peer that is a server).
    pub fn wait_request(&mut self) -> Frame {
        self.wait_for(|frame| frame.kind == HEADERS)
    }

    /// Reads until `stream` is over for the peer: END_STREAM or RST_STREAM. Gives all its frames.
    pub fn wait_end(&mut self, stream: u32) -> Ended {
        let mut ended = Ended::default();
        loop {
            let frame =
                self.wait_for(|frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
            let over = frame.ends_stream() || frame.kind == RST_STREAM;
            match frame.kind {
                DATA => ended.body.extend_from_slice(&frame.payload),
                HEADERS => ended.headers.push(frame.fields().into_iter().collect()),
                RST_STREAM => ended.reset = Some(frame.code()),
                _ => {}
            }
            if over {
                return ended;
            }
        }
    }

    /// Everything until the connection ends.
    pub fn drain(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Proves that the connection is alive and in step: a PING is answered.
    pub fn assert_alive(&mut self) {
        let opaque = *b"\x01alive\x02\x03";
        self.ping(opaque);
        self.wait_for(|frame| {
            frame.kind == PING && frame.flags & ACK != 0 && frame.payload == opaque
        });
    }
}

/// What came of one stream.
#[derive(Debug, Default)]
pub struct Ended {
    /// One map for each HEADERS frame. Repeated names keep the last value.
    pub headers: Vec<HashMap<String, Vec<u8>>>,
    pub body: Vec<u8>,
    pub reset: Option<u32>,
}

impl Ended {
    /// The field of the first HEADERS.
    pub fn head(&self, name: &str) -> Option<String> {
        self.headers.first()?.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The field of the last HEADERS.
    pub fn trailer(&self, name: &str) -> Option<String> {
        self.headers.last()?.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub fn status(&self) -> Option<u32> {
        self.trailer("grpc-status").map(|status| status.parse().unwrap())
    }

    /// The messages in the body.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let mut rest = &self.body[..];
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let len = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            messages.push(rest[5..5 + len].to_vec());
            rest = &rest[5 + len..];
        }
        messages
    }
}
