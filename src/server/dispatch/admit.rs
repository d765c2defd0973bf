//! What a server says to a request when its headers have come, under its connection's lock: [`admit`].

use std::sync::Arc;

use super::calls::Calls;
use super::method::{Method, unknown_method};
use super::registry::{Found, Registry};
use crate::link::Admit;
use crate::wire::headers::RequestHead;

/// Whether a request is to run, when, and within what limit. Takes no lock and runs no user code.
pub(in crate::server) fn admit(
    registry: &Arc<Registry>,
    calls: &Arc<Calls>,
    head: &RequestHead,
) -> Admit {
    match registry.find(&head.path) {
        Found::Method(method) => {
            Admit::Run { when: method.when(), limit: method.receive_limit(), entry: method.clone() }
        }
        Found::Unknown if calls.interceptors().is_none() => {
            // § `doc/statuscodes.md`: "Method not found at server: UNIMPLEMENTED" (W14).
            Admit::Refuse(unknown_method(&head.path))
        }
        // Interceptors see calls of unknown methods, too.
        Found::Ask | Found::Unknown => {
            let method = Method::to_ask(head.path.clone(), registry.clone(), calls);
            let (when, limit) = (method.when(), method.receive_limit());
            Admit::Run { entry: method, when, limit }
        }
    }
}
