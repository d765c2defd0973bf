//! The frames that are neither DATA nor header blocks, late DATA, and what errors come to.

use super::super::error::Error;
use super::super::frame::{
    GoAway, Head, Kind, Ping, Priority, RstStream, Settings, WindowUpdate, push_promise,
};
use super::super::goaway::Phase;
use super::super::ping::Probe;
use super::super::stream::{Closed, Known, Receiving, Sending};
use super::super::types::{Key, Reason, Role};
use super::{Connection, Room, Sink};

/// With more open streams than these, a frame that concerns all of them costs much more than its octets tell.
const CROWD: u32 = 256;

impl Connection {
    /// A whole frame, other than DATA.
    pub(super) fn on_frame(&mut self, head: &Head, payload: &[u8], sink: &mut dyn Sink) {
        if let Err(error) = self.dispatch(head, payload, sink) {
            self.on_error(error, sink);
        }
    }

    fn dispatch(&mut self, head: &Head, payload: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        match head.kind {
            Kind::HEADERS => self.on_headers(head, payload, sink),
            Kind::CONTINUATION => self.on_continuation(head, payload, sink),
            Kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            Kind::RST_STREAM => self.on_reset(&RstStream::parse(head, payload)?, sink),
            Kind::SETTINGS => self.on_settings(head, payload, sink),
            Kind::PING => self.on_ping(&Ping::parse(head, payload)?),
            Kind::GOAWAY => self.on_goaway(&GoAway::parse(head, payload)?, sink),
            Kind::PRIORITY => Priority::parse(head, payload).map(|_| ()),
            _ => Err(push_promise::refuse(head)),
        }
    }

    /// Answers an error: RST_STREAM or GOAWAY.
    #[cold]
    pub(super) fn on_error(&mut self, error: Error, sink: &mut dyn Sink) {
        let (reason, cause) = (error.reason(), error.cause());
        let Error::Stream { id, .. } = error else {
            return self.abort(reason, cause, sink);
        };
        // A3: every reset that the peer makes us send is counted.
        if let Err(error) = self.glitch() {
            return self.abort(error.reason(), error.cause(), sink);
        }
        self.send_reset(id, reason);
        match self.streams.find(id) {
            Some(key) => {
                let open = self.streams.peek(key).is_some_and(|slot| slot.closed.is_none());
                let tell = open && self.hears(key);
                self.close(key, Closed::ByUs);
                if tell {
                    sink.reset(key, reason, false, cause);
                }
            }
            None if matches!(self.streams.known(id), Known::Unknown { .. }) => {
                self.streams.remember(id, Closed::ByUs);
            }
            None => {}
        }
    }

    /// Charges for an error we had to answer, or an absurd frame.
    pub(super) fn glitch(&mut self) -> Result<(), Error> {
        self.stats.glitches += 1;
        if self.glitches.take(self.now) {
            return Ok(());
        }
        Err(Error::connection(Reason::ENHANCE_YOUR_CALM, "too many errors"))
    }

    /// DATA for a stream that takes none. The connection's window was charged already.
    #[cold]
    pub(super) fn stray_data(&mut self, id: u32) -> Result<(), Error> {
        let reason = Reason::STREAM_CLOSED;
        match self.standing(id) {
            Standing::Idle => Err(Error::protocol("DATA on an idle stream")),
            // "An endpoint MUST ignore frames that it receives on closed streams after it has
            // sent a RST_STREAM frame" §5.1
            Standing::Closed(Closed::ByUs) | Standing::Forgotten | Standing::Beyond => Ok(()),
            // Nothing of ours is left to reset: a reset for each would be the peer's weapon (A3).
            Standing::Closed(Closed::Ended) => {
                Err(Error::connection(reason, "DATA on a closed stream"))
            }
            Standing::Open(_) | Standing::Closed(Closed::ByPeer) | Standing::Skipped => {
                Err(Error::stream(id, reason, "DATA on a closed stream"))
            }
        }
    }

    /// What is known of an id, and whose turn it would be.
    pub(super) fn standing(&mut self, id: u32) -> Standing {
        // A new request is the common case, and needs no search.
        if id > self.last_peer && self.role == Role::Server {
            let beyond = id & 1 == 1 && !self.shutdown.accepts();
            return if beyond { Standing::Beyond } else { Standing::Idle };
        }
        match self.streams.known(id) {
            Known::Slot(slot) => {
                let key = Key { slot, id };
                match self.streams.peek(key).and_then(|slot| slot.closed) {
                    None => Standing::Open(key),
                    Some(closed) => Standing::Closed(closed),
                }
            }
            Known::Recent(closed) => Standing::Closed(closed),
            Known::Unknown { forgetful } => match self.role {
                Role::Client if id & 1 == 1 && id < self.next_id => Standing::Forgotten,
                Role::Server if id & 1 == 1 => {
                    if forgetful {
                        Standing::Forgotten
                    } else {
                        Standing::Skipped
                    }
                }
                _ => Standing::Idle,
            },
        }
    }

    fn on_window_update(&mut self, head: &Head, payload: &[u8]) -> Result<(), Error> {
        let standing =
            if head.stream == 0 { Standing::Forgotten } else { self.standing(head.stream) };
        // "Receiving any frame other than HEADERS or PRIORITY on a stream in this state MUST be
        // treated as a connection error of type PROTOCOL_ERROR" §5.1, before anything else.
        if let Standing::Idle = standing {
            return Err(Error::protocol("WINDOW_UPDATE on an idle stream"));
        }
        let reason = Reason::FLOW_CONTROL_ERROR;
        match (WindowUpdate::parse(head, payload), standing) {
            (Ok(update), _) if update.stream == 0 => self
                .on_credit(None, update.increment)
                .map_err(|_| Error::connection(reason, "connection window above 2^31-1")),
            (Ok(update), Standing::Open(key)) => self
                .on_credit(Some(key), update.increment)
                .map_err(|_| Error::stream(key.id, reason, "stream window above 2^31-1")),
            // Late credit for a closed stream means nothing, right or wrong.
            (Ok(_), _) => Ok(()),
            (
                Err(Error::Stream { .. }),
                Standing::Closed(_) | Standing::Forgotten | Standing::Beyond,
            ) => Ok(()),
            (Err(error), _) => Err(error),
        }
    }

    fn on_reset(&mut self, frame: &RstStream, sink: &mut dyn Sink) -> Result<(), Error> {
        let key = match self.standing(frame.stream) {
            // "RST_STREAM frames MUST NOT be sent for a stream in the idle state" §6.4
            Standing::Idle => return Err(Error::protocol("RST_STREAM on an idle stream")),
            Standing::Open(key) => key,
            // Its RST_STREAM may have crossed ours, but nothing may follow it: "An endpoint MUST NOT
            // send frames other than PRIORITY on a closed stream" §5.1
            Standing::Closed(Closed::ByUs) => {
                self.streams.reset_by_peer_too(frame.stream);
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.stats.peer_resets += 1;
        // A server resets what we asked for, so we are not its victim.
        if self.role == Role::Server {
            self.charge_reset(key)?;
        }
        let refused = self.role == Role::Client && frame.reason == Reason::REFUSED_STREAM;
        self.ended_by_peer(key, frame.reason, refused.then_some(Word::Reset), sink);
        Ok(())
    }

    /// A1: a client that takes back more than we get to has to calm down. What is answered is not taken back; and what a
    /// handler has worked off is paid for (A2): see [`Connection::settle`].
    fn charge_reset(&mut self, key: Key) -> Result<(), Error> {
        let Some(slot) = self.streams.get(key) else { return Ok(()) };
        if slot.settled || slot.sending != Sending::Open {
            return Ok(());
        }
        slot.charged = true;
        if self.resets.take(self.now) {
            return Ok(());
        }
        Err(Error::connection(Reason::ENHANCE_YOUR_CALM, "too many resets"))
    }

    /// A stream is over by the peer's word. `untouched`: it says that it did nothing with it, which
    /// is not believed once it has answered (W69).
    fn ended_by_peer(
        &mut self,
        key: Key,
        reason: Reason,
        untouched: Option<Word>,
        sink: &mut dyn Sink,
    ) {
        let Some(slot) = self.streams.peek(key) else { return };
        let (tell, unanswered) = (!slot.orphan, slot.receiving == Receiving::Head);
        self.close_by_peer(key);
        match (tell, untouched) {
            (true, Some(word)) if unanswered => sink.unprocessed(key, word == Word::Reset),
            (true, _) => sink.reset(key, reason, true, "reset by the peer"),
            (false, _) => {}
        }
    }

    fn on_settings(
        &mut self,
        head: &Head,
        payload: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let settings = Settings::parse(head, payload, self.role)?;
        if settings.ack {
            return self.on_settings_ack();
        }
        let first = !std::mem::replace(&mut self.exchange.met, true);
        let (full, before) = (self.room() == Room::Full, self.peer);
        self.peer.apply(&settings, first);
        let delta = self.peer.initial_window - before.initial_window;
        if delta != 0 {
            // Each changes all streams: nothing to speak of, unless there are many.
            if !first && self.streams.active > CROWD {
                self.glitch()?;
            }
            let reason = Reason::FLOW_CONTROL_ERROR;
            self.on_initial_window(delta)
                .map_err(|_| Error::connection(reason, "stream window above 2^31-1"))?;
        }
        // Our encoder uses no table; but a peer that shrinks below the size in force expects to hear of it.
        self.out.table_update |= self.peer.table_size < before.table_size.min(4096);
        Settings::acknowledgement().encode(&mut self.out.control);
        self.notices.room |= full && self.room() == Room::Yes;
        if first {
            sink.ready();
        }
        Ok(())
    }

    fn on_settings_ack(&mut self) -> Result<(), Error> {
        let Some(round_trip) = self.exchange.on_ack(self.now) else {
            return Err(Error::protocol("SETTINGS acknowledged that were not sent"));
        };
        self.round_trip.on_settings(round_trip);
        let ours = self.local_initial_window();
        let delta = ours - ours.max(super::super::flow::DEFAULT_WINDOW);
        if delta != 0 {
            self.streams.each().for_each(|(_, slot)| slot.intake.adjust(delta));
        }
        Ok(())
    }

    fn on_ping(&mut self, ping: &Ping) -> Result<(), Error> {
        if ping.ack {
            match Probe::of(ping.opaque) {
                Some(Probe::RoundTrip) => self.round_trip.on_ack(self.now),
                Some(Probe::Drain) => self.fix_last_id(),
                // Any octet read has already counted as life. Unknown ones mean nothing.
                Some(Probe::Alive) | None => {}
            }
            return Ok(());
        }
        if self.role == Role::Server && !self.strikes.on_ping(self.now, self.streams.active > 0) {
            let reason = Reason::ENHANCE_YOUR_CALM;
            return Err(Error::connection(reason, "too_many_pings"));
        }
        Ping { ack: true, opaque: ping.opaque }.encode(&mut self.out.control);
        Ok(())
    }

    /// W67, second step: whatever the client sent before it knew has arrived.
    pub(super) fn fix_last_id(&mut self) {
        if let Phase::Announced(_) = self.shutdown.phase {
            self.send_goaway(self.last_peer, Reason::NO_ERROR, "");
            self.shutdown.phase = Phase::Draining;
        }
    }

    fn on_goaway(&mut self, frame: &GoAway<'_>, sink: &mut dyn Sink) -> Result<(), Error> {
        let client = self.role == Role::Client;
        // Two say all there is to say. Each is compared with all streams.
        if self.shutdown.is_announced() && self.streams.active > CROWD {
            self.glitch()?;
        }
        self.shutdown.on_goaway(frame.last, client)?;
        // First of all: what the streams end with quotes it.
        sink.goaway(frame.reason, frame.debug);
        if client {
            // W68: what is above was never looked at and may be tried again.
            for key in self.streams.open_keys() {
                if key.id > frame.last {
                    let word = Some(Word::GoAway);
                    self.ended_by_peer(key, Reason::REFUSED_STREAM, word, sink);
                }
            }
        }
        Ok(())
    }
}

/// By which frame the peer said that it did nothing with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Reset,
    GoAway,
}

/// How an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open(Key),
    Closed(Closed),
    /// Once used, too long ago to say how it ended.
    Forgotten,
    /// Below one in use, but never used: closed (§5.1.1).
    Skipped,
    /// Above the last id that we have named in GOAWAY: not processed, and no answer (W67).
    Beyond,
    Idle,
}
