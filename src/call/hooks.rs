//! What stands in the way of a call's messages: hooks, for either direction, and for the end.
//!
//! A hook gets messages one by one and gives as many as it likes for each, so one can drop, split or add some. Hooks of several
//! interceptors make a [`Line`]: a message goes through all of them, in the order of the direction. Whoever sends or receives
//! owns its line, so no lock is held while a hook, which is user code, runs.

use std::fmt;

use crate::payload::Payload;
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
    /// interceptors the innermost is told first.
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

/// The hooks that messages of one direction go through, one after the other.
#[derive(Default)]
pub(crate) struct Line {
    hooks: Vec<Hook>,
}

impl Line {
    /// One more, where there is one, behind those that are there.
    pub(crate) fn extend(&mut self, hook: Option<Hook>) {
        self.hooks.extend(hook);
    }

    /// One more before those that are there: of two interceptors the inner sees responses first.
    pub(crate) fn extend_front(&mut self, hook: Option<Hook>) {
        self.hooks.splice(0..0, hook);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// What comes of one message. The first hook that fails decides.
    pub(crate) fn pass(&mut self, payload: Payload) -> Result<Vec<Payload>, Status> {
        run(&mut self.hooks, vec![payload], false)
    }

    /// What comes of the one message that there is, a `what` of `method`: one message.
    pub(crate) fn one(
        &mut self,
        payload: Payload,
        (what, method): (&str, &str),
    ) -> Result<Payload, Status> {
        if self.is_empty() {
            return Ok(payload);
        }
        let mut given = self.all_of_one(payload)?;
        let count = given.len();
        match given.pop() {
            Some(one) if count == 1 => Ok(one),
            _ => Err(Status::internal(miscounted(count, what, method))),
        }
    }

    /// What comes of the one message that there is: it should be one message.
    pub(crate) fn all_of_one(&mut self, payload: Payload) -> Result<Vec<Payload>, Status> {
        let mut given = self.pass(payload)?;
        given.extend(self.end()?);
        Ok(given)
    }

    /// What still comes when there are no more messages. Each hook is told once: the line is empty afterwards.
    pub(crate) fn end(&mut self) -> Result<Vec<Payload>, Status> {
        let mut hooks = std::mem::take(&mut self.hooks);
        run(&mut hooks, Vec::new(), true)
    }
}

/// What is said of hooks that gave `count` messages where there is to be one.
pub(crate) fn miscounted(count: usize, what: &str, method: &str) -> String {
    format!(
        "{method}: the interceptors' hooks gave {count} messages for the one {what} that the method has"
    )
}

/// Each hook gets what the one before it has given; at the end, that first.
fn run(hooks: &mut [Hook], mut payloads: Vec<Payload>, end: bool) -> Result<Vec<Payload>, Status> {
    for hook in hooks {
        let mut out = Vec::new();
        for payload in payloads {
            hook(Some(payload), &mut Emit { out: &mut out })?;
        }
        if end {
            hook(None, &mut Emit { out: &mut out })?;
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
        assert_eq!(bytes(line.pass(Payload::new(&b"a"[..]))), [b"a"]);
        assert!(line.is_empty() && bytes(line.end()).is_empty());
    }

    #[test]
    fn a_message_goes_through_all_and_what_is_held_back_comes_before_the_end() {
        let mut line = Line::default();
        line.extend(Some(late(b'2')));
        line.extend_front(Some(late(b'1')));
        assert!(bytes(line.pass(Payload::new(&b"a"[..]))).is_empty());
        assert!(bytes(line.pass(Payload::new(&b"b"[..]))).is_empty());
        assert_eq!(bytes(line.pass(Payload::new(&b"c"[..]))), [b"a12"]);
        assert_eq!(bytes(line.end()), [b"b12", b"c12"]);
        assert!(bytes(line.end()).is_empty(), "each is told of the end once");
    }

    #[test]
    fn a_hook_may_drop_and_multiply_and_the_first_that_fails_decides() {
        let mut line = Line::default();
        line.extend(Some(hook(|payload, emit| {
            for payload in payload.into_iter().filter(|payload| payload.bytes() != "skip") {
                (0..3).for_each(|_| emit.emit(payload.clone()));
            }
            Ok(())
        })));
        line.extend(Some(hook(mapping(|payload| match &payload.bytes()[..] {
            b"bad" => Err(Status::data_loss("bad")),
            _ => Ok(payload),
        }))));
        assert!(bytes(line.pass(Payload::new(&b"skip"[..]))).is_empty());
        assert_eq!(bytes(line.pass(Payload::new(&b"x"[..]))), [b"x", b"x", b"x"]);
        let error = line.pass(Payload::new(&b"bad"[..])).unwrap_err();
        assert_eq!(error.code(), Code::DataLoss);
    }
}
