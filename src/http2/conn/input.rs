//! Bytes in: cut into frames, in whatever pieces they come.
//!
//! Owns the read state between calls. DATA payload goes straight on to the sink, never collected;
//! every other known frame is gathered until whole, at most 16 KiB; unknown ones are skipped.
//! A frame that lies whole in the input is judged in place, without a copy.

use std::time::Instant;

use super::super::error::Error;
use super::super::frame::{self, HEAD_LEN, Head, Kind, MIN_MAX_FRAME_SIZE, data};
use super::super::grant::Heard;
use super::super::stream::Receiving;
use super::super::types::{Key, Reason, Role};
use super::{Connection, Sink};

/// What the next octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client's preface, of which so many octets were right.
    Preface(usize),
    Head,
    /// The payload of a frame to be gathered.
    Gather(Head),
    /// The pad length of a DATA frame.
    PadLength(Head),
    /// The rest of a DATA frame.
    Data(Body),
    /// What nobody wants.
    Skip(u32),
}

/// The rest of a DATA frame. `key` is `None` when its stream is not to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Body {
    key: Option<Key>,
    data: u32,
    padding: u32,
    end: bool,
}

#[derive(Debug)]
pub(super) struct Input {
    phase: Phase,
    /// The beginning of a head that came in pieces.
    head: [u8; HEAD_LEN],
    head_len: usize,
    /// The beginning of a frame that came in pieces.
    pub(super) partial: Vec<u8>,
    /// Since when a frame is incomplete.
    pub(super) partial_since: Option<Instant>,
    pub(super) block: Block,
    /// SETTINGS have come first, as they must.
    pub(super) first: bool,
}

/// A header block that is not whole yet.
#[derive(Debug)]
pub(super) struct Block {
    /// Zero: there is none.
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    pub(super) fragments: Vec<u8>,
    /// What the fragments so far cost.
    pub(super) cost: usize,
    pub(super) since: Option<Instant>,
}

impl Input {
    pub(super) fn new(role: Role) -> Self {
        Self {
            phase: if role == Role::Server { Phase::Preface(0) } else { Phase::Head },
            head: [0; HEAD_LEN],
            head_len: 0,
            partial: Vec::new(),
            partial_since: None,
            block: Block {
                stream: 0,
                end_stream: false,
                fragments: Vec::new(),
                cost: 0,
                since: None,
            },
            first: true,
        }
    }

    pub(super) fn rest(&mut self) {
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        if self.block.stream == 0 {
            self.block.fragments = Vec::new();
        }
    }

    /// The octets of a head that is not whole yet.
    pub(super) fn first_octets(&self) -> &[u8] {
        self.head.get(..self.head_len).unwrap_or_default()
    }

    fn between_frames(&self) -> bool {
        matches!(self.phase, Phase::Head if self.head_len == 0)
    }
}

impl Connection {
    /// Takes all of `bytes`, cut anywhere. Whatever is wrong with them is answered in here.
    pub(crate) fn handle_input(&mut self, bytes: &[u8], now: Instant, sink: &mut dyn Sink) {
        self.now = now;
        let before = self.control_len();
        self.keepalive.on_read(now);
        if self.input.first {
            self.judge_first(bytes, sink);
        }
        let mut rest = bytes;
        while !rest.is_empty() && !self.shutdown.is_dead() {
            rest = self.step(rest, sink);
        }
        self.input.partial_since = if self.input.between_frames() {
            None
        } else {
            // Bulk DATA always ends in the middle of a frame: each new one starts the clock anew.
            self.input.partial_since.or(Some(now))
        };
        self.ask_for_begun(sink);
        self.charge(before);
        self.deliver(sink);
    }

    /// Takes the next piece; returns what is left. Always takes at least one octet.
    fn step<'a>(&mut self, bytes: &'a [u8], sink: &mut dyn Sink) -> &'a [u8] {
        match self.input.phase {
            Phase::Preface(matched) => self.preface(matched, bytes, sink),
            Phase::Head => self.head(bytes, sink),
            Phase::Gather(head) => self.gather(head, bytes, sink),
            Phase::PadLength(head) => {
                let Some((&first, rest)) = bytes.split_first() else { return bytes };
                self.data_layout(&head, first, sink);
                rest
            }
            Phase::Data(body) => self.body(body, bytes, sink),
            Phase::Skip(left) => {
                let n = bytes.len().min(left as usize);
                self.next(Phase::Skip(left - n as u32), left as usize == n);
                bytes.get(n..).unwrap_or_default()
            }
        }
    }

    fn next(&mut self, phase: Phase, done: bool) {
        self.input.phase = if done { Phase::Head } else { phase };
        if done {
            self.input.partial_since = None;
        }
    }

    /// The client's first octets §3.4
    fn preface<'a>(&mut self, matched: usize, bytes: &'a [u8], sink: &mut dyn Sink) -> &'a [u8] {
        let expected = frame::PREFACE.get(matched..).unwrap_or_default();
        let n = expected.len().min(bytes.len());
        let (given, rest) = bytes.split_at(n);
        if !expected.starts_with(given) {
            self.judge_preface(matched, bytes, sink);
            return &[];
        }
        self.next(Phase::Preface(matched + n), n == expected.len());
        rest
    }

    #[inline]
    fn head<'a>(&mut self, bytes: &'a [u8], sink: &mut dyn Sink) -> &'a [u8] {
        let whole = bytes.split_first_chunk().filter(|_| self.input.head_len == 0);
        if let Some((head, rest)) = whole {
            return self.on_head(Head::parse(head), rest, sink);
        }
        let have = self.input.head_len;
        let n = (HEAD_LEN - have).min(bytes.len());
        let (piece, rest) = bytes.split_at(n);
        if let Some(room) = self.input.head.get_mut(have..have + n) {
            room.copy_from_slice(piece);
        }
        self.input.head_len += n;
        if self.input.head_len < HEAD_LEN {
            return rest;
        }
        self.input.head_len = 0;
        let head = Head::parse(&self.input.head);
        self.on_head(head, rest, sink)
    }

    /// A head is whole: everything that can be refused is refused before its payload (A20).
    fn on_head<'a>(&mut self, head: Head, rest: &'a [u8], sink: &mut dyn Sink) -> &'a [u8] {
        self.input.partial_since = None;
        if let Err(error) = self.check_head(&head) {
            self.on_error(error, sink);
            return rest;
        }
        if head.kind == Kind::DATA {
            if data::padded(&head) {
                self.input.phase = Phase::PadLength(head);
            } else {
                self.data_layout(&head, 0, sink);
            }
            return rest;
        }
        if head.kind.0 > Kind::CONTINUATION.0 {
            self.next(Phase::Skip(head.len), head.len == 0);
            return rest;
        }
        let len = head.len as usize;
        if let Some((payload, rest)) = rest.split_at_checked(len) {
            self.on_frame(&head, payload, sink);
            return rest;
        }
        self.input.phase = Phase::Gather(head);
        rest
    }

    fn check_head(&mut self, head: &Head) -> Result<(), Error> {
        head.check(MIN_MAX_FRAME_SIZE)?;
        // "The server connection preface consists of a potentially empty SETTINGS frame that MUST
        // be the first frame" §3.4, and the client's alike.
        if std::mem::take(&mut self.input.first)
            && (head.kind != Kind::SETTINGS || head.has(frame::flag::ACK))
        {
            return Err(Error::protocol("first frame is not SETTINGS"));
        }
        // "receipt of any other type of frame or a frame on a different stream as a connection
        // error of type PROTOCOL_ERROR" §6.2, unknown kinds included (W72).
        let block = self.input.block.stream;
        if block != 0 && (head.kind != Kind::CONTINUATION || head.stream != block) {
            return Err(Error::protocol("header block interrupted"));
        }
        if block == 0 && head.kind == Kind::CONTINUATION {
            return Err(Error::protocol("CONTINUATION without HEADERS"));
        }
        if head.kind == Kind::DATA {
            data::check(head)?;
        }
        Ok(())
    }

    fn gather<'a>(&mut self, head: Head, bytes: &'a [u8], sink: &mut dyn Sink) -> &'a [u8] {
        let missing = (head.len as usize).saturating_sub(self.input.partial.len());
        let (piece, rest) = bytes.split_at(missing.min(bytes.len()));
        self.input.partial.extend_from_slice(piece);
        if piece.len() == missing {
            self.next(Phase::Head, true);
            let mut payload = std::mem::take(&mut self.input.partial);
            self.on_frame(&head, &payload, sink);
            payload.clear();
            self.input.partial = payload;
        }
        rest
    }

    /// The division of a DATA frame is known: accounts for it and finds its stream.
    fn data_layout(&mut self, head: &Head, first: u8, sink: &mut dyn Sink) {
        let layout = match data::Layout::parse(head, first) {
            Ok(layout) => layout,
            Err(error) => return self.on_error(error, sink),
        };
        let key = match self.receive_data(head, layout.data) {
            Ok(key) => key,
            Err(error) => {
                self.on_error(error, sink);
                None
            }
        };
        let (data, padding) = (layout.data, layout.padding);
        let body = Body { key, data, padding, end: data::end_stream(head) };
        if data + padding == 0 {
            self.next(Phase::Head, true);
            self.end_of_data(body, sink);
        } else {
            self.input.phase = Phase::Data(body);
        }
    }

    /// Windows and states; gives the stream that is to hear of the payload.
    #[inline]
    fn receive_data(&mut self, head: &Head, payload: u32) -> Result<Option<Key>, Error> {
        let n = head.len as usize;
        // The connection's credit comes back whatever becomes of the stream (L25).
        if !self.window.receive(n) {
            let reason = Reason::FLOW_CONTROL_ERROR;
            return Err(Error::connection(reason, "connection window overrun"));
        }
        if let Some(increment) = self.window.credit() {
            frame::WindowUpdate { stream: 0, increment }.encode(&mut self.out.control);
        }
        let end = data::end_stream(head);
        if payload == 0 && !end {
            self.glitch()?; // A14
        }
        let Some(key) = self.streams.find(head.stream) else {
            return self.stray_data(head.stream).map(|()| None);
        };
        let now = self.now;
        let Some(slot) = self.streams.get(key) else { return Ok(None) };
        match (slot.closed, slot.receiving) {
            (None, Receiving::Body) => {}
            (None, Receiving::Head) => {
                // §8.1: the header section comes first (W73).
                let reason = Reason::PROTOCOL_ERROR;
                return Err(Error::stream(head.stream, reason, "DATA before HEADERS"));
            }
            _ => return self.stray_data(head.stream).map(|()| None),
        }
        if !slot.intake.receive(n, now) {
            let reason = Reason::FLOW_CONTROL_ERROR;
            return Err(Error::stream(head.stream, reason, "stream window overrun"));
        }
        let padding = n.saturating_sub(payload as usize);
        if let Some(increment) = slot.intake.padding(padding).filter(|_| !end) {
            frame::WindowUpdate { stream: key.id, increment }.encode(&mut self.out.control);
        }
        if let Some(left) = slot.promised {
            // "the value of a content-length header field [does not equal] the sum of the DATA frame
            // payload lengths" §8.1.1
            let left = left.checked_sub(u64::from(payload)).filter(|&left| !end || left == 0);
            if left.is_none() {
                let reason = Reason::PROTOCOL_ERROR;
                return Err(Error::stream(head.stream, reason, "content-length does not match"));
            }
            slot.promised = left;
        }
        if slot.parting {
            self.late_data(key, end);
            return Ok(None);
        }
        if self.round_trip.on_data(n, now) {
            self.send_probe(super::Probe::RoundTrip);
        }
        Ok(Some(key))
    }

    /// Hands on what is there of a DATA frame's payload.
    #[inline]
    fn body<'a>(&mut self, mut body: Body, bytes: &'a [u8], sink: &mut dyn Sink) -> &'a [u8] {
        let (payload, rest) = bytes.split_at(bytes.len().min(body.data as usize));
        body.data -= payload.len() as u32;
        let padding = rest.len().min(body.padding as usize);
        body.padding -= padding as u32;
        let rest = rest.get(padding..).unwrap_or_default();
        let done = body.data + body.padding == 0;
        self.next(Phase::Data(body), done);
        let receives = |key| self.streams.peek(key).is_some_and(|slot| slot.receives());
        if let Some(key) = body.key.filter(|&key| receives(key)) {
            let end = done && body.end;
            if end || !payload.is_empty() {
                let heard =
                    if self.hears(key) { sink.data(key, payload, end) } else { Heard::DROPPED };
                self.on_heard(key, heard, payload.len(), body.data as usize);
            }
            if end {
                self.received_end(key);
            }
        }
        rest
    }

    fn end_of_data(&mut self, body: Body, sink: &mut dyn Sink) {
        if body.end {
            self.body(body, &[], sink);
        }
    }

    /// Is there somebody to tell of this stream?
    #[inline]
    pub(super) fn hears(&self, key: Key) -> bool {
        self.streams.peek(key).is_some_and(|slot| !slot.orphan)
    }
}
