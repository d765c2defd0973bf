//! What a call comes to whose handler, or codec, does what it must not.

use super::ServerCall;
use crate::status::{Code, Status};
use crate::tell;
use crate::wire::outcome::{Due, undecodable};

impl ServerCall {
    /// Ends the call of a handler that panicked. The panic's text stays here (W58).
    pub(crate) fn panicked(&self) {
        self.broke("handler panicked");
    }

    /// The codec of its requests panicked, on whatever thread of the user's.
    pub(crate) fn request_codec_panicked(&self) {
        self.reply.lock().codec_panicked.get_or_insert("the codec of the requests");
        self.broke("the codec panicked at a request");
    }

    /// What panicked on the way out of the handler, where it was not the handler itself.
    pub(crate) fn codec_panicked(&self) -> Option<&'static str> {
        self.reply.lock().codec_panicked
    }

    /// The codec of its responses panicked.
    pub(crate) fn response_codec_panicked(&self) {
        self.reply.lock().codec_panicked.get_or_insert("the codec of the responses");
        self.broke("the codec panicked at a response");
    }

    /// A hook of an interceptor panicked, or the interceptor.
    pub(crate) fn hook_panicked(&self) {
        self.reply.lock().codec_panicked.get_or_insert("an interceptor's hook");
        self.broke("an interceptor panicked");
    }

    /// One panicked who listens to the server.
    pub(crate) fn listener_panicked(&self) {
        self.reply.lock().codec_panicked.get_or_insert("a listener");
        self.broke("a listener panicked");
    }

    /// What a request is answered that its codec could not decode, and has said so.
    pub(crate) fn undecodable(&self, by_codec: Status) -> Status {
        let status = undecodable(Due::Request, &self.head.path, by_codec);
        tell::debug!("of {}: {status}", self.peer());
        status
    }

    /// What a failure of the codec of its responses comes to.
    pub(crate) fn failed_by_codec(&self, status: Status) -> Status {
        self.failed_by("the codec of the responses", status)
    }

    /// What a failure of the user's code comes to: an OK is none, which is told to the log with whose mistake it is.
    pub(crate) fn failed_by(&self, whose: &str, status: Status) -> Status {
        if !status.is_ok() {
            return status;
        }
        let (path, peer) = (&self.head.path, self.peer());
        tell::error!("{path}: {whose} failed with the code OK; its client {peer} is told UNKNOWN");
        Status::unknown(format!("{whose} failed with the code OK"))
    }

    fn broke(&self, what: &'static str) {
        let status = {
            let reply = self.reply.lock();
            let code = reply.code.filter(|code| *code != Code::Ok).unwrap_or(Code::Unknown);
            let details = reply.details.clone();
            Status::new(code, details.unwrap_or_else(|| what.into()))
        };
        self.finish(Err(status));
    }
}
