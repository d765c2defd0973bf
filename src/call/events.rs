//! Events: what the calls of a channel, or of a server, tell those who listen; and what listeners may change of it.
//!
//! Here is what both sides share: who listens ([`Events`]), in which order they are told ([`List`]), and the messages.
//! What is told when is the business of either side. A call takes what there are of listeners when it begins.
//!
//! One lock, a leaf, over the list; no listener runs under any.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use super::hooks::{Hook, LISTENER, StreamHooks};
use crate::payload::Payload;
use crate::reactor::Keep;
use crate::status::Status;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{RwLock, thread_own};

/// Whether those who listen for the same event, and were added later, are told of it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They are.
    Continue,
    /// They are not told of this one. What was changed of it stays so.
    Interrupt,
}

type Listener<E> = dyn Fn(&mut E) -> Result<Flow, Status> + Send + Sync;

/// Who listens for one event, in the order of adding.
pub struct List<E: 'static>(Vec<Arc<Keep<Box<Listener<E>>>>>);

impl<E> List<E> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells them all, until one interrupts. The first that fails decides. Of calls that they make meanwhile nobody is told.
    pub(crate) fn tell(&self, event: &mut E) -> Result<(), Status> {
        let _telling = Telling::begin();
        for listener in self.0.iter().filter_map(|listener| listener.get()) {
            let flow = listener(event).map_err(|status| status.given_by(LISTENER))?;
            if flow == Flow::Interrupt {
                break;
            }
        }
        Ok(())
    }
}

thread_own! {
    /// Listeners that run on this thread, one within the other.
    static TELLING: Cell<usize> = Cell::new(0);
}

/// This thread runs a listener. What that calls is told to no listener, or one that makes a call would be told of it, and make
/// the next, without end.
struct Telling;

impl Telling {
    fn begin() -> Self {
        TELLING.reach(|depth| depth.set(depth.get() + 1));
        Self
    }

    fn is_on() -> bool {
        TELLING.reach(|depth| depth.get() > 0).unwrap_or(false)
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        TELLING.reach(|depth| depth.set(depth.get() - 1));
    }
}

impl<E> Clone for List<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Default for List<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// An event of those whose listeners are kept in `L`.
pub trait Of<L>: Sized + 'static {
    /// Who listens for it.
    #[doc(hidden)]
    fn list(all: &mut L) -> &mut List<Self>;
}

/// Who listens, of a channel or of a server.
pub(crate) struct Events<L> {
    /// Anybody. All that a call looks at where nobody does.
    heard: AtomicBool,
    all: RwLock<Arc<L>>,
}

impl<L: Default> Default for Events<L> {
    fn default() -> Self {
        Self { heard: AtomicBool::new(false), all: RwLock::new(Arc::default()) }
    }
}

impl<L: Clone> Events<L> {
    /// One more, behind those that are there.
    pub(crate) fn listen<E: Of<L>>(
        &self,
        listener: impl Fn(&mut E) -> Result<Flow, Status> + Send + Sync + 'static,
    ) {
        let listener: Box<Listener<E>> = Box::new(listener);
        let mut all = self.all.write();
        E::list(Arc::make_mut(&mut all)).0.push(Arc::new(Keep::new(listener)));
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether anybody listens for anything.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed) && !Telling::is_on()
    }

    /// Who listens now, if anybody.
    pub(crate) fn heard(&self) -> Option<Arc<L>> {
        self.is_heard().then(|| self.all.read().clone())
    }
}

impl<L> fmt::Debug for Events<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("heard", &self.heard).finish_non_exhaustive()
    }
}

/// What `list` makes of each message of a call, if anybody listens: a hook.
pub(crate) fn hook<E: Message>(list: &List<E>, method: &Arc<str>) -> Option<Hook> {
    if list.is_empty() {
        return None;
    }
    let (list, method) = (list.clone(), method.clone());
    let map = move |payload| {
        let mut event = E::new(payload, method.clone());
        list.tell(&mut event)?;
        Ok(event.into_payload())
    };
    StreamHooks::new().map_request(map).into_parts().0
}

/// A hook that does nothing.
pub(crate) fn passing() -> Hook {
    Box::new(|payload, emit| {
        payload.into_iter().for_each(|payload| emit.emit(payload));
        Ok(())
    })
}

/// An event that is a message.
pub(crate) trait Message: Send + Sync + 'static {
    fn new(payload: Payload, method: Arc<str>) -> Self;

    fn into_payload(self) -> Payload;
}

macro_rules! message {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[derive(Debug)]
        pub struct $name {
            payload: Payload,
            method: Arc<str>,
        }

        impl $name {
            /// The path of the method.
            #[must_use]
            pub fn method(&self) -> &str {
                &self.method
            }

            /// The message.
            #[must_use]
            pub fn payload(&self) -> &Payload {
                &self.payload
            }

            /// Decodes it, lets `change` change it, and encodes it again.
            ///
            /// # Errors
            /// INTERNAL when the bytes are no such message; they stay as they were.
            pub fn edit<M: prost::Message + Default>(
                &mut self,
                change: impl FnOnce(&mut M),
            ) -> Result<(), Status> {
                self.payload.edit(change)
            }

            /// Puts another message in its place, encoded.
            pub fn set_bytes(&mut self, bytes: impl Into<bytes::Bytes>) {
                self.payload.set_bytes(bytes);
            }
        }

        impl Message for $name {
            fn new(payload: Payload, method: Arc<str>) -> Self {
                Self { payload, method }
            }

            fn into_payload(self) -> Payload {
                self.payload
            }
        }
    };
}

message! {
    /// A message is about to be sent: a client's request, or a server's response. On the thread that sends it, behind the
    /// interceptors.
    ///
    /// It is encoded, and decoded only where a listener asks for that: [`payload`](Self::payload), [`edit`](Self::edit). On a
    /// server, a response that an interceptor gave by [`respond`](crate::InterceptedCall::respond) is not told.
    ///
    /// ```
    /// # #[derive(Clone, PartialEq, prost::Message)] struct Hello { #[prost(string, tag = "1")] name: String }
    /// use grpc_threads::{Flow, SendMessage};
    ///
    /// let channel = grpc_threads::insecure_channel("localhost:50051")?;
    /// channel.listen::<SendMessage>(|event| {
    ///     if event.method() == "/helloworld.Greeter/SayHello" {
    ///         event.edit::<Hello>(|hello| hello.name.push('!'))?;
    ///     }
    ///     Ok(Flow::Continue)
    /// });
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    SendMessage
}

message! {
    /// A message was received: a client's response, or a server's request. On the thread that takes it, before the interceptors
    /// and before it is decoded.
    ///
    /// ```
    /// use grpc_threads::{Flow, RecvMessage};
    ///
    /// let channel = grpc_threads::insecure_channel("localhost:50051")?;
    /// channel.listen::<RecvMessage>(|event| {
    ///     println!("{}: {} bytes", event.method(), event.payload().bytes().len());
    ///     Ok(Flow::Continue)
    /// });
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    RecvMessage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct All(List<RecvMessage>);

    impl Of<All> for RecvMessage {
        fn list(all: &mut All) -> &mut List<Self> {
            &mut all.0
        }
    }

    fn adding(
        mark: &'static [u8],
        flow: Flow,
    ) -> impl Fn(&mut RecvMessage) -> Result<Flow, Status> {
        move |event| {
            event.set_bytes([event.payload().bytes(), mark].concat());
            Ok(flow)
        }
    }

    #[test]
    fn a_call_has_those_that_listened_when_it_began_in_the_order_of_adding() {
        let events = Events::<All>::default();
        assert!(events.heard().is_none());
        events.listen(adding(b"1", Flow::Continue));
        let early = events.heard().unwrap();
        events.listen(adding(b"2", Flow::Interrupt));
        events.listen(adding(b"3", Flow::Continue));
        let told = |all: &All| {
            let mut event = RecvMessage::new(Payload::default(), "/a.B/C".into());
            all.0.tell(&mut event).unwrap();
            event.into_payload().into_bytes()
        };
        assert_eq!(told(&early), "1");
        assert_eq!(told(&events.heard().unwrap()), "12");
    }
}
