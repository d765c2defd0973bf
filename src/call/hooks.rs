//! What stands in the way of a call's messages: hooks, for either direction, and for the end.
//!
//! A hook gets messages one by one and gives as many as it likes for each, so one can drop, split or add some. Hooks of several
//! interceptors make a [`Line`]: a message goes through all of them, in the order of the direction. Whoever sends or receives
//! owns its line, so no lock is held while a hook, which is user code, runs.

use std::fmt;

use crate::payload::Payload;
use crate::reactor::user;
use crate::status::Status;

/// A hook for one direction. `None`: there are no more messages; what it still gives goes before the end.
pub(crate) type Hook = Box<dyn FnMut(Option<Payload>, &mut Emit<'_>) -> Result<(), Status> + Send>;

/// Told once how the call ended.
pub(crate) type OnEnd = Box<dyn FnOnce(&Status) + Send>;

/// Takes the messages that a hook lets go on: any number for each that it gets.
///
/// Where the method has one message in that direction, all its hooks together have to let one go on, before its end or at it:
/// with none, or several, the call ends with INTERNAL, whose text says how many there were.
pub struct Emit<'a> {
    out: &'a mut Vec<Payload>,
}

impl Emit<'_> {
    /// Lets a message go on, after those given before.
    pub fn emit(&mut self, payload: Payload) {
        self.out.push(payload);
    }
}

impl fmt::Debug for Emit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit").field("emitted", &self.out.len()).finish()
    }
}

/// What an interceptor does with the messages of one call, and at its end. None of it has to be there.
///
/// A hook runs on the thread that sends or receives the message; an error of it ends the call with that status. Both directions
/// may go on at once, on two threads, but no hook runs twice at a time.
///
/// ```
/// use grpc_threads::{Payload, Status, StreamHooks};
///
/// // Every request twice; no response longer than a kilobyte.
/// let hooks = StreamHooks::new()
///     .on_request(|request, emit| {
///         if let Some(request) = request {
///             emit.emit(request.clone());
///             emit.emit(request);
///         }
///         Ok(())
///     })
///     .map_response(|response| match response.bytes().len() {
///         0..1024 => Ok(response),
///         long => Err(Status::resource_exhausted(format!("a response of {long} bytes"))),
///     });
/// # let _ = hooks;
/// ```
#[derive(Default)]
#[must_use]
pub struct StreamHooks {
    request: Option<Hook>,
    response: Option<Hook>,
    end: Option<OnEnd>,
}

impl StreamHooks {
    /// None yet: messages pass as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// `hook` gets every request, and `None` once when there are no more; what it emits goes on in its place.
    pub fn on_request(
        mut self,
        hook: impl FnMut(Option<Payload>, &mut Emit<'_>) -> Result<(), Status> + Send + 'static,
    ) -> Self {
        self.request = Some(Box::new(hook));
        self
    }

    /// As [`on_request`](Self::on_request), for the responses. Of a call that failed there is no end of responses: see
    /// [`on_end`](Self::on_end).
    pub fn on_response(
        mut self,
        hook: impl FnMut(Option<Payload>, &mut Emit<'_>) -> Result<(), Status> + Send + 'static,
    ) -> Self {
        self.response = Some(Box::new(hook));
        self
    }

    /// Puts one request in the place of each.
    pub fn map_request(
        self,
        map: impl FnMut(Payload) -> Result<Payload, Status> + Send + 'static,
    ) -> Self {
        self.on_request(mapping(map))
    }

    /// Puts one response in the place of each.
    pub fn map_response(
        self,
        map: impl FnMut(Payload) -> Result<Payload, Status> + Send + 'static,
    ) -> Self {
        self.on_response(mapping(map))
    }

    /// `hook` is told once how the call ended, with its trailing metadata: OK, too. It can change nothing of that; of several
    /// interceptors the innermost is told first. Of a stream it may come before the last responses: those go through their hooks when
    /// they are read, which may be long after the server has ended the call.
    ///
    /// On a client it runs on the library's notifier thread, of which the process has one: be quick there. Of a call with one request
    /// and one response it runs where the interceptor does, before the caller has the response: on the caller's thread, and for
    /// `future` on one of the library's; a `future` behind interceptors that all [have hooks only] is told of as a stream is. A call
    /// that was over as it began is told of on the thread that began it. Where it runs on a server: [`InterceptedCall::add_hooks`].
    /// A panic in it is logged, and the hooks of the others are told. Where other code of the program panicked before the call had an
    /// outcome, the status is `INTERNAL`.
    ///
    /// [have hooks only]: crate::ClientInterceptor::has_hooks_only
    /// [`InterceptedCall::add_hooks`]: crate::InterceptedCall::add_hooks
    pub fn on_end(mut self, hook: impl FnOnce(&Status) + Send + 'static) -> Self {
        self.end = Some(Box::new(hook));
        self
    }

    /// Whether there are any for messages.
    pub(crate) fn has_messages(&self) -> bool {
        self.request.is_some() || self.response.is_some()
    }

    /// The hook for requests, the one for responses, and the one for the end.
    pub(crate) fn into_parts(self) -> (Option<Hook>, Option<Hook>, Option<OnEnd>) {
        (self.request, self.response, self.end)
    }
}

fn mapping(
    mut map: impl FnMut(Payload) -> Result<Payload, Status> + Send + 'static,
) -> impl FnMut(Option<Payload>, &mut Emit<'_>) -> Result<(), Status> + Send + 'static {
    move |payload, emit| {
        if let Some(payload) = payload {
            emit.emit(map(payload)?);
        }
        Ok(())
    }
}

impl fmt::Debug for StreamHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHooks")
            .field("request", &self.request.is_some())
            .field("response", &self.response.is_some())
            .field("end", &self.end.is_some())
            .finish()
    }
}

/// Whose a hook is: for what is said of its mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Interceptor,
    Listener,
}

impl By {
    pub(crate) fn who(self) -> &'static str {
        match self {
            Self::Interceptor => "an interceptor's hook",
            Self::Listener => LISTENER,
        }
    }

    /// What is said of its panic.
    pub(crate) fn panicked(self) -> &'static str {
        match self {
            Self::Interceptor => "an interceptor's hook panicked",
            Self::Listener => "a listener panicked",
        }
    }
}

/// Who made a mistake, where one who listens did.
pub(super) const LISTENER: &str = "a listener";

/// The hooks that messages of one direction go through, one after the other.
///
/// Of one that panics whoever passes the messages is told by that, after `panicked` was called.
#[derive(Default)]
pub(crate) struct Line {
    hooks: Vec<(By, Hook)>,
}

impl Line {
    /// One more, where there is one, behind those that are there.
    pub(crate) fn extend(&mut self, by: By, hook: Option<Hook>) {
        self.hooks.extend(hook.map(|hook| (by, hook)));
    }

    /// One more before those that are there: of two interceptors the inner sees responses first.
    pub(crate) fn extend_front(&mut self, by: By, hook: Option<Hook>) {
        self.hooks.splice(0..0, hook.map(|hook| (by, hook)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// What comes of one message. The first hook that fails decides.
    pub(crate) fn pass(
        &mut self,
        payload: Payload,
        panicked: &dyn Fn(By),
    ) -> Result<Vec<Payload>, Status> {
        run(&mut self.hooks, vec![payload], false, panicked)
    }

    /// What comes of the one message that there is, a `what` of `method`: one message.
    pub(crate) fn one(
        &mut self,
        payload: Payload,
        (what, method): (&str, &str),
        panicked: &dyn Fn(By),
    ) -> Result<Payload, Status> {
        if self.is_empty() {
            return Ok(payload);
        }
        let mut given = self.all_of_one(payload, panicked)?;
        let count = given.len();
        match given.pop() {
            Some(one) if count == 1 => Ok(one),
            _ => Err(Status::internal(miscounted(count, what, method))),
        }
    }

    /// What comes of the one message that there is: it should be one message.
    pub(crate) fn all_of_one(
        &mut self,
        payload: Payload,
        panicked: &dyn Fn(By),
    ) -> Result<Vec<Payload>, Status> {
        let mut given = self.pass(payload, panicked)?;
        given.extend(self.end(panicked)?);
        Ok(given)
    }

    /// What still comes when there are no more messages. Each hook is told once: the line is empty afterwards.
    pub(crate) fn end(&mut self, panicked: &dyn Fn(By)) -> Result<Vec<Payload>, Status> {
        let mut hooks = std::mem::take(&mut self.hooks);
        run(&mut hooks, Vec::new(), true, panicked)
    }
}

/// What is said of hooks that gave `count` messages where there is to be one.
pub(crate) fn miscounted(count: usize, what: &str, method: &str) -> String {
    format!(
        "{method}: the interceptors' hooks gave {count} messages for the one {what} that the method has"
    )
}

/// Each hook gets what the one before it has given; at the end, that first.
fn run(
    hooks: &mut [(By, Hook)],
    mut payloads: Vec<Payload>,
    end: bool,
    panicked: &dyn Fn(By),
) -> Result<Vec<Payload>, Status> {
    for (by, hook) in hooks {
        let mut out = Vec::new();
        let end = end.then_some(None);
        for payload in payloads.into_iter().map(Some).chain(end) {
            let one = || hook(payload, &mut Emit { out: &mut out });
            let told = user::run_or_end(one, || panicked(*by));
            told.map_err(|status| status.given_by(by.who()))?;
        }
        payloads = out;
    }
    Ok(payloads)
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("hooks", &self.hooks.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Code;

    fn hook(
        hook: impl FnMut(Option<Payload>, &mut Emit<'_>) -> Result<(), Status> + Send + 'static,
    ) -> Hook {
        Box::new(hook)
    }

    fn bytes(payloads: Result<Vec<Payload>, Status>) -> Vec<Vec<u8>> {
        payloads.unwrap().into_iter().map(|payload| payload.bytes().to_vec()).collect()
    }

    fn nobody(_: By) {}

    fn pass(line: &mut Line, message: &'static str) -> Result<Vec<Payload>, Status> {
        line.pass(Payload::new(message), &nobody)
    }

    /// Holds one message back, and gives it with the next, or at the end.
    fn late(mark: u8) -> Hook {
        let mut held: Option<Payload> = None;
        hook(move |payload, emit| {
            if let Some(before) = std::mem::replace(&mut held, payload) {
                emit.emit(Payload::new([before.bytes(), &[mark][..]].concat()));
            }
            Ok(())
        })
    }

    #[test]
    fn a_line_without_hooks_gives_what_it_gets() {
        let mut line = Line::default();
        assert_eq!(bytes(pass(&mut line, "a")), [b"a"]);
        assert!(line.is_empty() && bytes(line.end(&nobody)).is_empty());
    }

    #[test]
    fn a_message_goes_through_all_and_what_is_held_back_comes_before_the_end() {
        let mut line = Line::default();
        line.extend(By::Interceptor, Some(late(b'2')));
        line.extend_front(By::Interceptor, Some(late(b'1')));
        assert!(bytes(pass(&mut line, "a")).is_empty());
        assert!(bytes(pass(&mut line, "b")).is_empty());
        assert_eq!(bytes(pass(&mut line, "c")), [b"a12"]);
        assert_eq!(bytes(line.end(&nobody)), [b"b12", b"c12"]);
        assert!(bytes(line.end(&nobody)).is_empty(), "each is told of the end once");
    }

    #[test]
    fn a_hook_may_drop_and_multiply_and_the_first_that_fails_decides() {
        let mut line = Line::default();
        line.extend(
            By::Interceptor,
            Some(hook(|payload, emit| {
                for payload in payload.into_iter().filter(|payload| payload.bytes() != "skip") {
                    (0..3).for_each(|_| emit.emit(payload.clone()));
                }
                Ok(())
            })),
        );
        line.extend(
            By::Interceptor,
            Some(hook(mapping(|payload| match &payload.bytes()[..] {
                b"bad" => Err(Status::data_loss("bad")),
                _ => Ok(payload),
            }))),
        );
        assert!(bytes(pass(&mut line, "skip")).is_empty());
        assert_eq!(bytes(pass(&mut line, "x")), [b"x", b"x", b"x"]);
        let error = pass(&mut line, "bad").unwrap_err();
        assert_eq!(error.code(), Code::DataLoss);
    }
}
