//! Calls as the user sees them: four multi-callables, their options, and the handles
//! on calls that run.
//!
//! Owns the types of messages (codecs), who pulls a request iterator, and what
//! dropping a handle does. Ignores links, retries and connectivity: those are the
//! call's ([`crate::call::client`]) and the channel's.
//!
//! No lock here. One kind of thread: the library's, that pulls an iterator given to `future` or `spawn`.

mod call;
mod chain;
mod completion;
mod duplex;
mod exchange;
mod future;
mod options;
mod ready;
mod responses;
mod sender;
#[cfg(feature = "stream")]
mod stream;
mod stream_stream;
mod stream_unary;
mod stub;
mod unary_stream;
mod unary_unary;

use bytes::Bytes;
use prost::Message;

use crate::channel::Channel;
use crate::codec::{Codec, Prost, Raw};
use crate::error::ConfigError;

use stub::Method;

pub use crate::call::client::{CallOptions, MethodPath};
pub use call::Call;
pub use completion::{AsCompleted, ReturnWhen, Waited, as_completed, wait};
pub use duplex::Duplex;
pub use exchange::Exchange;
pub use future::CallFuture;
pub use responses::Responses;
pub use sender::RequestSender;
#[cfg(feature = "stream")]
pub use stream::ResponseStream;
pub use stream_stream::StreamStream;
pub use stream_unary::StreamUnary;
pub use unary_stream::UnaryStream;
pub use unary_unary::UnaryUnary;

/// The constructors of one kind of multi-callable.
macro_rules! constructors {
    ($kind:ident, $typed:ident, $with:ident, $raw:ident, $at:ident, $what:literal) => {
        impl Channel {
            #[doc = concat!("A method with ", $what, ", of prost messages.")]
            ///
            /// # Errors
            /// When `path` is not `/package.Service/Method`.
            pub fn $typed<Req, Resp>(&self, path: &str) -> Result<$kind<Req, Resp>, ConfigError>
            where
                Req: Message + Default + 'static,
                Resp: Message + Default + 'static,
            {
                self.$with(path, Prost)
            }

            #[doc = concat!("A method with ", $what, ", of messages of any codec.")]
            ///
            /// # Errors
            /// When `path` is not `/package.Service/Method`.
            pub fn $with<Req, Resp, C>(
                &self,
                path: &str,
                codec: C,
            ) -> Result<$kind<Req, Resp>, ConfigError>
            where
                Req: 'static,
                Resp: 'static,
                C: Codec<Req> + Codec<Resp>,
            {
                Ok(self.$at(MethodPath::new(path)?, codec))
            }

            #[doc = concat!("A method with ", $what, ", of bytes as they are.")]
            ///
            /// # Errors
            /// When `path` is not `/package.Service/Method`.
            pub fn $raw(&self, path: &str) -> Result<$kind<Bytes, Bytes>, ConfigError> {
                self.$with(path, Raw)
            }

            #[doc = concat!("A method with ", $what, ", at a path that is known to be good: for generated stubs.")]
            #[must_use]
            pub fn $at<Req, Resp, C>(&self, path: MethodPath, codec: C) -> $kind<Req, Resp>
            where
                Req: 'static,
                Resp: 'static,
                C: Codec<Req> + Codec<Resp>,
            {
                $kind::new(Method::new(self, path, codec))
            }
        }
    };
}

constructors!(
    UnaryUnary,
    unary_unary,
    unary_unary_with,
    raw_unary_unary,
    unary_unary_at,
    "one request and one response"
);
constructors!(
    UnaryStream,
    unary_stream,
    unary_stream_with,
    raw_unary_stream,
    unary_stream_at,
    "one request and many responses"
);
constructors!(
    StreamUnary,
    stream_unary,
    stream_unary_with,
    raw_stream_unary,
    stream_unary_at,
    "many requests and one response"
);
constructors!(
    StreamStream,
    stream_stream,
    stream_stream_with,
    raw_stream_stream,
    stream_stream_at,
    "many requests and many responses"
);

#[cfg(test)]
mod tests;
