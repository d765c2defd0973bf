//! Where the connection's events go: into the cells, and to whoever waits on them.

use std::sync::Arc;
use std::time::Instant;

use crate::http2::hpack::Fields;
use crate::http2::types::{Key, Reason};
use crate::http2::{DRAINED, Heard, Sink, Taker};
use crate::status::Status;
use crate::wire::headers::{self, Refusal, RequestHead};
use crate::wire::outcome::{Due, Ending, Farewell, cardinality};

use super::admission::Admission;
use super::cell::{Cell, Cells, Fault, Pending, heard, make_room};
use super::effects::Effects;
use super::face::{Acceptor, Admit, Entry, Want, When};
use super::lead::Lead;
use super::me::Me;
use super::tally::Tally;
use super::terms::Terms;

/// What a frame asks of the connection, done when it has finished with its input.
pub(super) enum After {
    Refuse(Key, Status),
    Plain(Key, Refusal),
    Reset(Key),
    Forget(Key),
}

/// Where the connection's events go.
pub(super) struct Receiver<'a> {
    pub(super) cells: &'a mut Cells,
    pub(super) admission: &'a mut Admission,
    pub(super) lead: &'a mut Lead<Me>,
    pub(super) effects: &'a mut Effects,
    pub(super) tally: &'a mut Tally,
    pub(super) farewell: &'a mut Option<Arc<Farewell>>,
    pub(super) after: &'a mut Vec<After>,
    pub(super) acceptor: Option<&'a Arc<dyn Acceptor>>,
    pub(super) terms: &'a Terms,
    pub(super) now: Instant,
}

impl Receiver<'_> {
    fn request(&mut self, key: Key, fields: &Fields, end: bool) -> Taker {
        let Some(acceptor) = self.acceptor else { return Taker::Nobody };
        self.tally.opened(self.now);
        let head = match headers::parse_request(fields, self.terms.encodings()) {
            Ok(head) => head,
            Err(refusal) => {
                self.effects.refused(|| headers::told(fields, &refusal));
                self.refuse(key, refusal, end);
                return Taker::Nobody;
            }
        };
        match acceptor.admit(&head) {
            Admit::Refuse(status) => {
                self.effects.refused(|| format!("{}: {status}", head.path));
                self.after.push(After::Refuse(key, status));
                Taker::Nobody
            }
            Admit::Run { entry, when, limit } => {
                self.admitted(key, head, (entry, when, limit), end)
            }
        }
    }

    fn admitted(
        &mut self,
        key: Key,
        head: RequestHead,
        (entry, when, limit): (Arc<dyn Entry>, When, usize),
        end: bool,
    ) -> Taker {
        let mut cell = Cell::new(key, limit);
        cell.peer_done = end;
        cell.inbox.set_encoding(head.encoding);
        cell.deadline = head.timeout.and_then(|timeout| self.now.checked_add(timeout));
        let pending = Pending { head, entry, arrived: self.now };
        let at_once = end || when == When::Headers;
        if at_once {
            let runs = self.admission.enter(&mut cell, pending);
            self.effects.incoming.extend(runs.map(|pending| (key, pending)));
        } else {
            self.admission.begin(&mut cell, pending);
            cell.single = true;
        }
        self.cells.insert(cell);
        if at_once { Taker::Reader } else { Taker::Worker }
    }

    /// No gRPC request. The plain answer waits for the end of the request: an early
    /// one would be followed by a reset, which ordinary HTTP clients take for a failure.
    fn refuse(&mut self, key: Key, refusal: Refusal, end: bool) {
        if let Some(status) = refusal.status() {
            return self.after.push(After::Refuse(key, status.clone()));
        }
        if end {
            return self.after.push(After::Plain(key, refusal));
        }
        let mut cell = Cell::new(key, usize::MAX);
        self.admission.turn_down(&mut cell, refusal, self.now);
        self.cells.insert(cell);
    }

    /// Octets of a request that is none are dropped: there will be an answer when it ends, or when it is too long to wait for that.
    fn drop_refused(&mut self, key: Key, n: usize, end: bool) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        cell.dropped += n;
        if end {
            return self.half_closed(key);
        }
        if cell.dropped >= DRAINED {
            self.admission.give_up(cell);
            if let Some(refusal) = self.cells.remove(key).and_then(|cell| cell.refusal) {
                self.after.push(After::Plain(key, refusal));
            }
        }
    }

    /// The peer's half has ended: complete requests are handed over.
    fn half_closed(&mut self, key: Key) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        cell.peer_done = true;
        cell.broken = cell.inbox.finish().err();
        if let Some(refusal) = cell.refusal.take() {
            self.admission.give_up(cell);
            self.cells.remove(key);
            return self.after.push(After::Plain(key, refusal));
        }
        // One that waits is ready already.
        if let Some(pending) = cell.pending.take_if(|_| !cell.waits) {
            let runs = self.admission.enter(cell, pending);
            self.effects.incoming.extend(runs.map(|pending| (key, pending)));
        }
        self.effects.tell(self.lead, cell);
    }

    fn response(&mut self, key: Key, fields: &Fields, end: bool) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        let mut response = headers::parse_response(fields, end, self.terms.encodings());
        cell.headed = true;
        if let Some(accepts) = response.accepts {
            self.terms.heard(accepts);
        }
        if end {
            let ending = Ending::from_trailers_only(response, fields);
            return self.ended(key, ending);
        }
        if let Some(ending) = Ending::from_head(&response) {
            // No gRPC: what follows is no message.
            self.ended(key, ending);
            return self.after.push(After::Reset(key));
        }
        cell.inbox.set_encoding(response.encoding);
        cell.early = response.early.take();
        cell.head = Some(response);
        self.effects.tell(self.lead, cell);
    }

    /// Some payload of a stream that somebody reads. `None`: it is refused.
    fn feed(&mut self, key: Key, payload: &[u8], end: bool) -> Option<Heard> {
        let cell = self.cells.get_mut(key)?;
        match cell.feed(payload) {
            Err(fault) => {
                self.refuse_body(key, fault);
                None
            }
            Ok(fed) => {
                if fed.whole > 0 {
                    self.tally.received(fed.whole);
                    if !end {
                        self.effects.tell(self.lead, cell);
                    }
                }
                Some(heard(fed))
            }
        }
    }

    /// A message longer than the limit (W38), one too many (W41), or none at all: the rest is not read. Drawn at once, since
    /// the end of the stream may have come with the same read.
    fn refuse_body(&mut self, key: Key, fault: Fault) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if self.acceptor.is_none() {
            let ending = match fault {
                Fault::Several => Ending::Several,
                Fault::Broken(status) => Ending::Local(status),
            };
            self.ended(key, ending);
            return self.after.push(After::Reset(key));
        }
        let method = cell.pending.as_ref().map_or("", |pending| &pending.head.path);
        let status = match fault {
            Fault::Several => cardinality(Due::Request, method, true),
            Fault::Broken(status) => status,
        };
        if cell.pending.is_some() {
            self.effects.refused(|| format!("{method}: {status}"));
            self.admission.give_up(cell);
            self.cells.remove(key);
            return self.after.push(After::Refuse(key, status));
        }
        // A handler has the call: it learns of it from its requests, and answers.
        cell.peer_done = true;
        cell.broken = Some(status);
        self.effects.tell(self.lead, cell);
    }

    fn ended(&mut self, key: Key, ending: Ending) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if cell.pending.is_some() || cell.refusal.is_some() {
            self.admission.give_up(cell);
            self.cells.remove(key);
            return self.after.push(After::Forget(key));
        }
        let well = matches!(&ending, Ending::Trailers(status) if status.is_ok());
        if cell.end(ending) {
            self.tally.well += u64::from(well);
            self.effects.tell(self.lead, cell);
        }
    }
}

impl Sink for Receiver<'_> {
    fn headers(&mut self, key: Key, fields: &Fields, end: bool) -> Taker {
        if self.cells.get(key).is_none() {
            return self.request(key, fields, end);
        }
        self.response(key, fields, end);
        Taker::default()
    }

    fn trailers(&mut self, key: Key, fields: &Fields) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if self.acceptor.is_some() {
            return self.half_closed(key);
        }
        let cut = cell.inbox.finish().err();
        self.ended(key, Ending::from_trailers(headers::parse_trailers(fields), cut));
    }

    fn data(&mut self, key: Key, payload: &[u8], end: bool) -> Heard {
        let Some(cell) = self.cells.get_mut(key) else { return Heard::DROPPED };
        if cell.refusal.is_some() {
            self.drop_refused(key, payload.len(), end);
            return Heard::DROPPED;
        }
        let heard = match cell.ending {
            None if payload.is_empty() => Heard::default(),
            None => match self.feed(key, payload, end) {
                Some(heard) => heard,
                None => return Heard::DROPPED,
            },
            Some(_) => Heard::DROPPED,
        };
        if end && self.acceptor.is_some() {
            self.half_closed(key);
        } else if end {
            let early = self.cells.get_mut(key).and_then(|cell| cell.early.take());
            self.ended(key, Ending::NoTrailers(early));
        }
        heard
    }

    fn granted(&mut self, key: Key) {
        if let Some(cell) = self.cells.get_mut(key) {
            make_room(cell);
        }
    }

    fn reset(&mut self, key: Key, reason: Reason, by_peer: bool, cause: &'static str) {
        let farewell = self.farewell.clone();
        self.ended(key, Ending::Reset { reason, by_peer, cause, farewell });
    }

    fn unprocessed(&mut self, key: Key, refused: bool) {
        let farewell = self.farewell.clone();
        self.ended(key, Ending::Unprocessed { refused, farewell });
    }

    fn writable(&mut self, key: Key) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        let waiting = cell.sender.take();
        self.effects.wake(self.lead, waiting);
        if cell.receiver.as_ref().is_some_and(|waiting| waiting.want == Want::Turn) {
            let waiting = cell.receiver.take();
            self.effects.wake(self.lead, waiting);
        }
        self.effects.tell_listener(cell);
    }

    fn room(&mut self) {
        self.effects.room = true;
    }

    fn ready(&mut self) {
        self.effects.up = true;
    }

    fn goaway(&mut self, reason: Reason, debug: &[u8]) {
        self.effects.draining = true;
        // § gRFC A8: "GOAWAY frame with ENHANCE_YOUR_CALM error code and additional debug data of ASCII
        // "too_many_pings"".
        self.effects.pinged |= reason == Reason::ENHANCE_YOUR_CALM && debug == b"too_many_pings";
        *self.farewell = Some(Arc::new(Farewell::new(reason, debug)));
    }

    fn lost(&mut self, reason: Reason, cause: &str) {
        let why = Farewell::after(format!("{cause} ({})", reason.name()), self.farewell.as_deref());
        for cell in self.cells.iter_mut() {
            if cell.end(Ending::Lost(why.clone())) {
                self.effects.tell(self.lead, cell);
            }
        }
        self.effects.lost.get_or_insert(why);
    }
}
