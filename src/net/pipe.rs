//! What a link needs of its socket.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use super::Address;
use crate::credentials::AuthContext;
use crate::reactor::{Interest, Mode, Poller, Ready};

/// A non-blocking stream of octets, shared by reader, writer and whoever waits.
///
/// Order of calls: `attach` once; then any mixture; `detach`; `close`. One thread at a
/// time reads, and one writes. After `close` every call fails or does nothing.
pub(crate) trait Pipe: Send + Sync + Debug {
    /// Reads what is there; `Ok(0)` is the peer's end. `WouldBlock` when nothing is.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits; `WouldBlock` when nothing does.
    fn try_write(&self, from: &[u8]) -> io::Result<usize>;

    /// Whether slices are sent from where they are. Else it is all one to gather them first.
    fn takes_slices(&self) -> bool {
        false
    }

    /// As [`try_write`](Self::try_write), of what the slices hold together.
    fn try_write_slices(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for slice in from {
            match self.try_write(slice) {
                Ok(n) => {
                    sent += n;
                    if n < slice.len() {
                        break;
                    }
                }
                Err(error) if sent == 0 => return Err(error),
                // Whoever writes next meets it.
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Blocks the thread until `interest` is possible, a kick, or the deadline.
    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited>;

    /// Ends the wait of another thread, or the next one: a kick is never lost.
    fn kick(&self);

    /// Registers with a poller, which tells `ready` what it sees.
    fn attach(&self, poller: &Arc<Poller>, mode: Mode, ready: Arc<dyn Ready>) -> io::Result<()>;

    /// Asks the poller for one event ([`Mode::OneShot`]).
    fn arm(&self, interest: Interest) -> io::Result<()>;

    /// The socket is full: room in it is told from now on, too ([`Mode::Edge`], which is of input alone). Again is nothing.
    fn watch_for_room(&self) {}

    /// Leaves the poller.
    fn detach(&self);

    /// Whether a read gives something without the socket: the end, too. Asked after a read that has emptied the socket. Whoever is
    /// attached is told to read of what a full buffer has left.
    fn holds(&self) -> bool {
        false
    }

    /// What is written next is the last word: [`shutdown_write`](Self::shutdown_write) follows as soon as it is out. So the
    /// end may go along with it, in one packet.
    fn last_word(&self) {}

    /// Tells the peer that no more will come.
    fn shutdown_write(&self);

    /// Ends both directions. The descriptor itself is closed when its last holder lets go, so
    /// that nobody reads from a number that has become another's.
    fn close(&self);

    /// The peer, as Python writes it: `ipv4:127.0.0.1:1234`.
    fn peer(&self) -> String;

    /// What is known of the peer, and of how it was made sure of.
    fn auth_context(&self) -> AuthContext {
        AuthContext::insecure()
    }

    /// Where this end and the other are, as far as that is known. Asks the system.
    fn ends(&self) -> (Option<Address>, Option<Address>) {
        (None, None)
    }

    /// The cipher suite of TLS, by its registered name.
    fn cipher_suite(&self) -> Option<String> {
        None
    }

    /// Whether the peer runs on this machine.
    fn is_local(&self) -> bool {
        false
    }
}

/// Why [`Pipe::wait`] returned. All false: the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) kicked: bool,
}
