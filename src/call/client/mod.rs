//! One call on the client's side.
//!
//! [`Core`] is a call that somebody holds a handle on; [`Unary`] the blocking call with
//! one request and one response, which needs none. Both bind to a link when their HEADERS
//! are appended and not before, so that a connection that drains or dies takes no call with it
//! that could have gone elsewhere; both repeat once, unseen, what the peer says it never processed (W69).
//!
//! It owns starting, binding, cancelling, expiring and the status. It ignores message types (the
//! stubs' affair) and where links come from: that is a [`Source`], which the channel implements.
//!
//! **Threads.** None of its own. Deadlines of calls with a handle are kept by [`Expiry`] on the
//! process's poller; what is to be told (callbacks) goes to the notifier. Progress of a stream that nobody waits on is looked at
//! on the thread that met it, with no lock held, so that a callback may wait for any call; wakers are woken there too.
//!
//! **Locks.** A call has two leaves: `receiver` (the inbox; held over the swap with the link, whose lock ranks
//! below, and never while something is sent) and `state` (never held over anything). The receiver's may be held when
//! the state's is taken.

mod asking;
mod auth;
mod core;
mod ending;
mod ends;
mod events;
mod expiry;
mod family;
mod heed;
mod heeding;
mod interceptor;
mod interceptors;
mod launch;
mod options;
mod path;
mod receiver;
mod receiving;
mod sending;
mod state;
mod told;
mod unary;
mod waking;
mod watching;

pub use events::{ChannelEvent, RecvInitialMetadata, RecvTrailingMetadata, SendRequest};
pub use interceptor::{CallDetails, ClientInterceptor, Next, Reply};
pub use options::CallOptions;
pub use path::MethodPath;

pub(crate) use self::core::{Core, Source};
pub(crate) use auth::{Auth, Kept};
pub(crate) use events::ClientEvents;
pub(crate) use expiry::Expiry;
pub(crate) use family::{Family, Parent};
pub(crate) use interceptors::{Interceptors, Lines};
pub(crate) use launch::{Defaults, Launch, Refused, Template};
pub(crate) use receiving::Arrival;
pub(crate) use sending::{REQUEST_PANICKED, Sending};
pub(crate) use told::Ready;
pub(crate) use unary::{Answer, Unary};
