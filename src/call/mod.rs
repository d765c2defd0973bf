//! One call, on either side: messages over a stream of a link.
//!
//! [`Inbox`] and [`Outbox`] are the two halves and know neither role. They own
//! message framing, the send limit, window credit and corking; they ignore
//! methods, handlers, connectivity and retries. No thread and no lock above the
//! link's, except the outbox's own.

pub(crate) mod client;
mod inbox;
mod outbox;
pub(crate) mod server;

pub(crate) use inbox::{Finish, Inbox, Next};
pub(crate) use outbox::{Outbox, SendError};
