//! One live connection: the only place that knows both HTTP/2 and threads.
//!
//! A [`Link`] joins a [`Pipe`] (octets) to a pure [`Connection`] (frames) and
//! gives each stream a mailbox, its *cell*. It knows nothing of messages'
//! contents, handlers or channels.
//!
//! **Threads.** No thread belongs to a link. On a client the blocked caller
//! reads the socket itself ([`lead`], [`wait`]); the process's poller takes the
//! link over while nobody waits. On a server the pool's pollers read. Anybody
//! who appends frames writes them ([`baton`]), unless somebody is at it already.
//!
//! **Locks.** One per link, guarding [`state::State`]: the connection, the cells,
//! the lead and the baton. It is a leaf below the channel's and the server's
//! registries, and is never held over a system call, user code or a wait. What a
//! change makes necessary is collected in [`effects::Effects`] and done after it.

mod admission;
mod admit;
mod baton;
mod cell;
mod credit;
mod effects;
mod exchange;
mod face;
mod hold;
mod kept;
mod lead;
mod leave;
mod me;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
mod patience;
mod pump;
mod receiver;
mod state;
mod stats;
mod stream;
mod tally;
mod terms;
mod turn;
mod wait;
mod watch;
mod write;

use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::sync::Mutex;
use bytes::Bytes;

use crate::credentials::AuthContext;
use crate::http2::types::{Key, Reason, Role};
use crate::http2::{Connection, Options, Room, Taker};
use crate::net::Pipe;
use crate::reactor::{Flush, Mode, OnTimer, Poller, Ready, clock};
use crate::tally::next_id;

use cell::Cell;
use effects::Side;
use state::State;

pub(crate) use exchange::Exchanged;
pub(crate) use face::{
    Acceptor, Admit, End, Entry, Incoming, LinkEvents, Notify, Outgoing, Replies, Want, When,
};
pub use stats::{SecurityStats, SocketStats};

pub(crate) use hold::Held;
pub(crate) use stats::Totals;
pub(crate) use stream::{Stream, Took};
pub(crate) use terms::Terms;

/// Header lists up to this size are sent without asking what the peer takes: the smallest limits
/// in use are several times as large.
const UNASKED: usize = 2048;

/// So many calls in flight are a crowd: a writer lets others append, and who waits looks a while before it sleeps.
const CROWD: usize = 4;

/// How long we read and drop what the peer sends after our last octet (W67), and how long we wait
/// for a peer that does not take that octet.
const LINGER: Duration = Duration::from_secs(1);

/// One connection.
pub(crate) struct Link {
    /// Guards everything that changes. Rank: above nothing, below registries. Not poisoned by panics.
    state: Mutex<State>,
    pipe: Arc<dyn Pipe>,
    side: Side,
    /// What the channel, or the server, says in headers of compression.
    terms: Arc<Terms>,
    poller: Arc<Poller>,
    /// What one stream may have queued.
    send_quota: usize,
    /// How long a leader looks at the socket before it sleeps.
    busy_poll: Duration,
    /// The peer runs on this machine, and needs our CPUs while we wait for it.
    local: bool,
    /// Grows with every read: tells a waiter that something comes, and an idle link from a busy one.
    reads: AtomicU32,
    /// How much is read at a time: less where it takes long to work off.
    stride: AtomicUsize,
    lost: AtomicBool,
    /// Too much of what was answered waits to be sent: see [`hold`].
    crowded: AtomicBool,
    /// Of all that is counted.
    id: u64,
    /// Its jobs take turns with those of others.
    lane: u16,
    /// The peer's name, where it was asked for often.
    name: OnceLock<Arc<str>>,
    this: Weak<Link>,
}

impl Link {
    /// A client's link over a connected pipe. `poller` reads it while no caller leads.
    pub(crate) fn client(
        pipe: Arc<dyn Pipe>,
        options: &Arc<Options>,
        busy_poll: Duration,
        events: Arc<dyn LinkEvents>,
        poller: &Arc<Poller>,
    ) -> io::Result<Arc<Self>> {
        let link = Self::new(pipe, Role::Client, options, Side::Client(events), poller, busy_poll);
        let ready: Arc<dyn Ready> = link.clone();
        link.pipe.attach(poller, Mode::OneShot, ready)?;
        // What has come already is read first: the answer to it goes with the first octets.
        if !link.pipe.holds() {
            link.flush_now(link.state.lock());
        }
        link.settle_as(link.state.lock(), true);
        link.detach_if_closed();
        Ok(link)
    }

    /// A server's link over an accepted pipe, read by whoever waits on `poller`.
    pub(crate) fn server(
        pipe: Arc<dyn Pipe>,
        options: &Arc<Options>,
        acceptor: Arc<dyn Acceptor>,
        poller: &Arc<Poller>,
    ) -> io::Result<Arc<Self>> {
        let side = Side::Server(acceptor);
        let link = Self::new(pipe, Role::Server, options, side, poller, Duration::ZERO);
        link.flush_now(link.state.lock());
        let ready: Arc<dyn Ready> = link.clone();
        link.pipe.attach(poller, Mode::Edge, ready)?;
        link.detach_if_closed();
        Ok(link)
    }

    fn new(
        pipe: Arc<dyn Pipe>,
        role: Role,
        options: &Arc<Options>,
        side: Side,
        poller: &Arc<Poller>,
        busy_poll: Duration,
    ) -> Arc<Self> {
        #[cfg(all(test, shuttle))]
        let options = &Arc::new(model::options(options));
        let (poller, lane, terms) = (poller.clone(), poller.lane(), side.terms());
        let state = Mutex::new(State::new(
            Connection::new(role, options, clock::now()),
            role == Role::Client,
            options,
            &terms,
        ));
        let local = pipe.is_local();
        let link = Arc::new_cyclic(|this| Self {
            state,
            pipe,
            side,
            terms,
            poller,
            send_quota: options.send_quota,
            busy_poll,
            local,
            reads: AtomicU32::new(0),
            stride: AtomicUsize::new(turn::STRIDE),
            lost: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            id: next_id(),
            lane,
            name: OnceLock::new(),
            this: this.clone(),
        });
        #[cfg(all(test, shuttle))]
        model::born(&link);
        #[cfg(feature = "testing")]
        crate::reactor::leap::join(&link);
        link
    }

    /// Opens a stream with all that is known of the request, and sends it.
    ///
    /// `body` is framed messages; `end` half-closes; `limit` is the receive limit per message.
    /// `Err` says why not: no slot is free, the link drains, or it is closed.
    pub(crate) fn open(
        self: &Arc<Self>,
        block: &[u8],
        body: Option<Bytes>,
        end: bool,
        limit: usize,
        replies: Replies,
    ) -> Result<Arc<Stream>, Room> {
        Ok(Stream::new(self, self.begin(block, body, end, limit, replies)?))
    }

    fn begin(
        &self,
        block: &[u8],
        body: Option<Bytes>,
        end: bool,
        limit: usize,
        replies: Replies,
    ) -> Result<Key, Room> {
        let mut state = self.state.lock();
        if state.phase != state::Phase::Open {
            return Err(Room::Closed);
        }
        let key = state.conn.open(block, end && body.is_none())?;
        state.tally.opens();
        let mut cell = Cell::new(key, limit);
        if replies == Replies::One {
            cell.single = true;
            state.conn.takes(key, Taker::Caller);
        }
        state.cells.insert(cell);
        if let Some(body) = body {
            // The whole request of a call that has one.
            state.tally.sends(1);
            state.conn.data(key, body, end);
        }
        self.flush_or_cork(state);
        Ok(key)
    }

    /// `Err` when the peer does not take a header list of `size` octets: with what it takes. "Exceeding the peer's
    /// SETTINGS_MAX_HEADER_LIST_SIZE fails locally and never kills the connection" (W29).
    pub(crate) fn takes_headers(&self, size: usize) -> Result<(), usize> {
        if size <= UNASKED {
            return Ok(());
        }
        let most = self.state.lock().conn.peer_max_header_list();
        if size <= most { Ok(()) } else { Err(most) }
    }

    /// Graceful end: GOAWAY, running streams may finish (W67, W68).
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        state.conn.drain(clock::now());
        self.flush_now(state);
    }

    /// Ends every stream and the connection, now. Streams end as lost, with `why`.
    pub(crate) fn close(&self, reason: Reason, why: &str) {
        let mut state = self.state.lock();
        if state.phase == state::Phase::Open {
            state.abort(reason, why, clock::now());
        }
        self.flush_now(state);
    }

    /// How many calls were made on this connection, and how many of them run.
    pub(crate) fn made(&self) -> (u64, usize) {
        let state = self.state.lock();
        (state.conn.stats().opened, state.cells.live())
    }

    /// Calls that the peer has not done with, and has not given back.
    pub(crate) fn kept(&self) -> usize {
        self.state.lock().conn.stats().active
    }

    /// Whether the peer has answered a call on this connection.
    pub(crate) fn answered(&self) -> bool {
        self.state.lock().conn.stats().answered > 0
    }

    /// Streams whose owner has not let go.
    #[cfg(test)]
    pub(crate) fn active(&self) -> usize {
        self.state.lock().cells.live()
    }

    /// The peer, as Python writes it: `ipv4:127.0.0.1:1234`.
    pub(crate) fn peer(&self) -> String {
        self.pipe.peer()
    }

    /// The same, written once.
    pub(crate) fn peer_name(&self) -> &Arc<str> {
        self.name.get_or_init(|| self.peer().into())
    }

    /// What is known of the peer, and of how it was made sure of.
    pub(crate) fn auth_context(&self) -> AuthContext {
        self.pipe.auth_context()
    }

    /// A sender waits while more octets than these are queued on its stream.
    pub(crate) fn send_quota(&self) -> usize {
        self.send_quota
    }

    /// What this side says in headers of compression.
    pub(crate) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The poller that serves this link: where timers of its calls belong.
    pub(crate) fn poller(&self) -> &Arc<Poller> {
        &self.poller
    }

    fn timer_target(&self) -> Arc<dyn OnTimer> {
        match self.this.upgrade() {
            Some(this) => this,
            None => Arc::new(Nobody),
        }
    }
}

impl Flush for Link {
    fn flush(&self) {
        self.flush_now(self.state.lock());
    }
}

/// A leader that waits until its call's deadline looks again.
#[cfg(feature = "testing")]
impl crate::reactor::leap::OnLeap for Link {
    fn asks(&self) -> bool {
        let state = self.state.lock();
        state.phase == state::Phase::Open && state.conn.asks()
    }

    fn leapt(&self) {
        if self.side.is_client() {
            self.pipe.kick();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.state.try_lock().map(|state| state.conn.stats());
        f.debug_struct("Link")
            .field("pipe", &self.pipe)
            .field("stats", &stats)
            .finish_non_exhaustive()
    }
}

/// Stands in for a link that is being dropped.
struct Nobody;

impl OnTimer for Nobody {
    fn fire(&self, _: u64, _: std::time::Instant, _: &mut Vec<crate::reactor::Job>) {}
}

#[cfg(test)]
mod tests;
