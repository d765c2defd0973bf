//! What runs a call: which method its path names, whether it is admitted, and the job that runs its handler.
//!
//! Between the server's other rooms: it runs what `service` holds, and knows nothing of ports, connections and stopping
//! (`life`). Ignores how bytes become requests (`link`).
//!
//! Threads: admission and the making of jobs on whichever thread read the request, under its connection's lock or just after
//! it; handlers on the pool's workers or in the user's executor; deadlines on the pool's polling threads. Locks: the deadlines
//! of [`Calls`] rank above the poller's; the registry's `pending` and [`Running`]'s are leaves.

mod admit;
mod calls;
mod intercept;
mod method;
mod registry;
mod running;
mod task;

pub(super) use self::admit::admit;
pub(super) use self::calls::{Calls, Limits};
pub(super) use self::method::Method;
pub(super) use self::registry::{Registry, check_name, check_path};
pub(super) use self::running::Running;
