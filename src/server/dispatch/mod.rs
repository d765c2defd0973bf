//! What runs a call: which method its path names, whether it is admitted, and the job that runs its handler.
//!
//! Between the server's other rooms: it runs what `service` holds, and knows nothing of ports, connections and stopping
//! (`life`). Ignores how bytes become requests (`link`).

mod method;
mod registry;

pub(super) use self::method::{Method, unknown_method};
pub(super) use self::registry::{Found, Registry, check_name, check_path};
