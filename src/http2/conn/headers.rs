//! Header blocks: gathered, decoded whatever they are for, then judged.

use super::super::error::Error;
use super::super::frame::{Continuation, Head, Headers, MAX_31};
use super::super::goaway::Phase;
use super::super::stream::{Closed, Receiving};
use super::super::types::{Key, Reason, Role};
use super::frames::Standing;
use super::options::FRAGMENT;
use super::recent::List;
use super::{Connection, Sink, validate};

/// So many informational responses before a response are nothing to wonder at.
const INFORMATIONAL: u8 = 4;

impl Connection {
    pub(super) fn on_headers(
        &mut self,
        head: &Head,
        payload: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let frame = Headers::parse(head, payload)?;
        self.round_trip.on_message();
        if frame.end_headers {
            return self.on_block(frame.stream, frame.end_stream, frame.fragment, sink);
        }
        let block = &mut self.input.block;
        block.stream = frame.stream;
        block.end_stream = frame.end_stream;
        block.cost = frame.fragment.len();
        block.since = Some(self.now);
        block.fragments.clear();
        block.fragments.extend_from_slice(frame.fragment);
        Ok(())
    }

    /// A5: every fragment costs, an empty one too, and before it is stored.
    pub(super) fn on_continuation(
        &mut self,
        head: &Head,
        payload: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let frame = Continuation::parse(head, payload)?;
        let block = &mut self.input.block;
        block.cost = block.cost.saturating_add(frame.fragment.len() + FRAGMENT);
        if block.cost > self.options.max_block() {
            let calm = Reason::ENHANCE_YOUR_CALM;
            return Err(Error::connection(calm, "header block too long, or of too many fragments"));
        }
        block.fragments.extend_from_slice(frame.fragment);
        if !frame.end_headers {
            return Ok(());
        }
        let whole = std::mem::take(&mut block.fragments);
        let (stream, end_stream) = (std::mem::take(&mut block.stream), block.end_stream);
        block.since = None;
        self.on_block(stream, end_stream, &whole, sink)
    }

    /// A block is whole. It is decoded before anything else, for the table's sake (§4.3).
    fn on_block(
        &mut self,
        id: u32,
        end: bool,
        block: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let mut recent = self.recent.take().unwrap_or_default();
        let result = recent
            .decode(block, &mut self.decoder)
            .and_then(|list| self.on_list(id, end, list, sink));
        self.recent = Some(recent);
        result
    }

    fn on_list(
        &mut self,
        id: u32,
        end: bool,
        list: &List,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        match self.standing(id) {
            Standing::Open(key) => self.on_more(key, end, list, sink),
            Standing::Idle if self.role == Role::Server => self.on_request(id, end, list, sink),
            // "An endpoint that receives an unexpected stream identifier MUST respond with a
            // connection error of type PROTOCOL_ERROR" §5.1.1
            Standing::Idle => Err(Error::protocol("HEADERS on an idle stream")),
            Standing::Skipped => Err(Error::protocol("stream id lower than the last")),
            Standing::Forgotten if self.role == Role::Server => {
                Err(Error::protocol("stream id lower than the last"))
            }
            Standing::Forgotten | Standing::Beyond | Standing::Closed(Closed::ByUs) => Ok(()),
            Standing::Closed(Closed::ByPeer) => {
                let reason = Reason::STREAM_CLOSED;
                Err(Error::stream(id, reason, "HEADERS on a closed stream"))
            }
            Standing::Closed(Closed::Ended) => {
                let reason = Reason::STREAM_CLOSED;
                Err(Error::connection(reason, "HEADERS on a closed stream"))
            }
        }
    }

    /// A new stream at a server.
    fn on_request(
        &mut self,
        id: u32,
        end: bool,
        list: &List,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        // "Streams initiated by a client MUST use odd-numbered stream identifiers" §5.1.1 (A19)
        if id & 1 == 0 {
            return Err(Error::protocol("even stream id from a client"));
        }
        self.last_peer = id;
        if id == MAX_31 {
            self.ids_used_up();
        }
        // What is open on the wire counts. That handlers of streams that are over still run is no affair of the
        // client's, who cannot know of it: for that it waits (A1, see the link's admission).
        let limit = self.options.max_concurrent_streams;
        if self.streams.active >= limit && !self.part_now() {
            return self.refuse(id);
        }
        let malformed = |cause| Error::stream(id, Reason::PROTOCOL_ERROR, cause);
        let promised = match list.fields.overflowed() {
            true => None, // W30: the list is gone; the answer is the user's.
            false => validate::request(list).map_err(malformed)?,
        };
        if end && promised.is_some_and(|n| n > 0) {
            return Err(malformed("content-length does not match"));
        }
        let key = self.insert(id);
        if let Some(slot) = self.streams.get(key) {
            slot.promised = promised;
            slot.receiving = if end { Receiving::Done } else { Receiving::Body };
        }
        let taker = sink.headers(key, &list.fields, end);
        self.takes(key, taker);
        if !end {
            self.begin_wide(key);
        }
        Ok(())
    }

    /// A client at the end of its ids gets a graceful end (A19); what runs goes on.
    fn ids_used_up(&mut self) {
        if self.shutdown.phase == Phase::Running {
            self.send_goaway(MAX_31, Reason::NO_ERROR, "stream ids are used up");
            self.shutdown.phase = Phase::Draining;
        }
    }

    /// W20. A client that knows the limit never comes here. Refusing is cheap to provoke: it draws on the budget for resets.
    fn refuse(&mut self, id: u32) -> Result<(), Error> {
        self.stats.refused += 1;
        if !self.resets.take(self.now) {
            let reason = Reason::ENHANCE_YOUR_CALM;
            return Err(Error::connection(reason, "too many refused streams"));
        }
        self.send_reset(id, Reason::REFUSED_STREAM);
        self.streams.remember(id, Closed::ByUs);
        Ok(())
    }

    /// A further block on an open stream: a response head, or trailers.
    fn on_more(
        &mut self,
        key: Key,
        end: bool,
        list: &List,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let Some(slot) = self.streams.get(key) else { return Ok(()) };
        let malformed = |cause| Error::stream(key.id, Reason::PROTOCOL_ERROR, cause);
        match slot.receiving {
            Receiving::Head => self.on_response(key, end, list, sink),
            Receiving::Done => {
                let reason = Reason::STREAM_CLOSED;
                Err(Error::stream(key.id, reason, "HEADERS after END_STREAM"))
            }
            // W53; "a HEADERS frame without the END_STREAM flag set after receiving the HEADERS frame
            // that opens a request or after receiving a final (non-informational) status code MUST be
            // treated as malformed" §8.1
            Receiving::Body if !end => Err(malformed("trailers without END_STREAM")),
            Receiving::Body => {
                if slot.promised.is_some_and(|left| left > 0) {
                    return Err(malformed("content-length does not match"));
                }
                validate::trailers(list).map_err(malformed)?;
                if self.hears(key) {
                    sink.trailers(key, &list.fields);
                }
                self.received_end(key);
                Ok(())
            }
        }
    }

    fn on_response(
        &mut self,
        key: Key,
        end: bool,
        list: &List,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let malformed = |cause| Error::stream(key.id, Reason::PROTOCOL_ERROR, cause);
        let mut promised = None;
        if !list.fields.overflowed() {
            let (status, length) = validate::response(list).map_err(malformed)?;
            if (100..200).contains(&status) {
                if end {
                    return Err(malformed("1xx response with END_STREAM"));
                }
                if !self.is_expected(key) {
                    self.glitch()?; // A25: a flood of them
                }
                sink.informational(key);
                return Ok(());
            }
            promised = length;
        }
        if end && promised.is_some_and(|n| n > 0) {
            return Err(malformed("content-length does not match"));
        }
        self.stats.answered += 1;
        if let Some(slot) = self.streams.get(key) {
            slot.promised = promised;
            slot.receiving = Receiving::Body;
        }
        sink.headers(key, &list.fields, end);
        if end {
            self.received_end(key);
        }
        Ok(())
    }

    /// Counts an informational response: whether its stream has had no more than a proxy may well put before each (a 100, a
    /// 103).
    fn is_expected(&mut self, key: Key) -> bool {
        let Some(slot) = self.streams.get(key) else { return false };
        slot.informational = slot.informational.saturating_add(1);
        slot.informational <= INFORMATIONAL
    }
}
