//! Compression of messages, as far as it is pure: what may be asked for ([`Compression`]), how a program adds to it
//! ([`Compressor`]), which encodings a side has ([`Encodings`]), and gzip and deflate themselves.
//!
//! § `doc/compression.md`, `doc/PROTOCOL-HTTP2.md`: "Compressed-Flag", "grpc-encoding", "grpc-accept-encoding".
//!
//! Ignores calls, prefixes and where states of zlib are kept between messages. No thread, lock or clock.

mod encodings;
#[cfg(feature = "gzip")]
mod zlib;

use std::io;

pub(crate) use encodings::{Accepted, Encoding, Encodings, How, Limited, Side, unknown};
#[cfg(feature = "gzip")]
pub(crate) use zlib::{Fault, Form, State, States, deflate, inflate};

/// How the messages of a call, a channel or a server are compressed. Default: not at all.
///
/// It is said for what is *sent*: [`ChannelBuilder::compression`](crate::ChannelBuilder::compression) for requests,
/// [`CallOptions::compression`](crate::CallOptions::compression) for those of one call,
/// [`ServerOptions::compression`](crate::ServerOptions::compression) for answers,
/// [`ServicerContext::set_compression`](crate::ServicerContext::set_compression) for one answer. What the other side compresses is
/// taken without being asked for, in all that this crate was built with; `accept_compression` of either side says otherwise.
///
/// A message goes out as it is when it would not get smaller, when it is empty, and when the other side has said that it
/// does not take the encoding: a server compresses only what its client has announced, and a client goes on plain
/// once an answer has listed what the server takes, and not this.
///
/// **Compression tells lengths.** Where a secret stands in one message with text that somebody else chooses, whoever sees
/// how long the message is on the wire can find the secret out, TLS or not (CRIME, BREACH). So nothing is compressed
/// unless it is asked for: leave it off for such messages, or for one of them
/// ([`disable_next_message_compression`](crate::ServicerContext::disable_next_message_compression)).
///
/// § `doc/compression.md`. `grpc.Compression` of Python.
///
/// ```
/// # #[cfg(feature = "gzip")] {
/// use grpc_threads::{Channel, Compression};
///
/// let channel = Channel::builder("localhost:50051").compression(Compression::Gzip).connect_lazily()?;
/// let upload = channel.unary_unary::<Vec<u8>, ()>("/demo.Files/Upload")?;
/// // What is compressed already would not get smaller.
/// let upload_video = upload.compression(Compression::None);
/// # }
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// As they are: `identity`.
    #[default]
    None,
    /// RFC 1952. What nearly every gRPC implementation has.
    #[cfg(feature = "gzip")]
    Gzip,
    /// RFC 1950, which HTTP calls deflate: a zlib header, and an Adler-32 at the end. grpc-go and grpc-java have none.
    #[cfg(feature = "gzip")]
    Deflate,
    /// What a [`Compressor`] of this name does, one of the channel's or of the server's.
    Custom(&'static str),
}

impl Compression {
    /// What it is called in `grpc-encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => IDENTITY,
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
            #[cfg(feature = "gzip")]
            Self::Deflate => "deflate",
            Self::Custom(name) => name,
        }
    }
}

/// A compression of your own, to be registered with [`ChannelBuilder::compressor`](crate::ChannelBuilder::compressor) and
/// [`ServerBuilder::compressor`](crate::ServerBuilder::compressor), and asked for as
/// [`Compression::Custom`] of its name. One that is called `gzip` or `deflate` stands in for ours.
///
/// One value serves all calls, from any thread at once. It runs on the thread that sends a message, or decodes one: on a
/// server the handler's. Never under a lock, and never on a thread that serves connections. A panic in it ends the call
/// that the message is of with `INTERNAL`, and is logged.
///
/// `out` is any writer; what is written to it is the result. It takes no more than the receive limit of the call, whatever a
/// stream expands to: further octets are an error, which is to be passed on, and the call ends with `RESOURCE_EXHAUSTED`.
///
/// `examples/compression.rs` adds lz4.
pub trait Compressor: Send + Sync + 'static {
    /// What it is called in `grpc-encoding`: lower-case letters, digits, `-`, `_` and `.`; not `identity`. Asked for once.
    fn name(&self) -> &str;

    /// Compresses a message. What is not smaller than the message is not sent: the message goes as it is.
    ///
    /// # Errors
    /// Ends the call with `INTERNAL`.
    fn compress(&self, message: &[u8], out: &mut dyn io::Write) -> io::Result<()>;

    /// Gives back what a peer has compressed. It may be anything: check all of it, to its last octet. `limit` is what `out` takes at
    /// most: a format that says its length in front compares it before it reserves anything.
    ///
    /// # Errors
    /// For what is not whole or not right. Ends the call with `INTERNAL`.
    fn decompress(&self, packed: &[u8], limit: usize, out: &mut dyn io::Write) -> io::Result<()>;
}

/// The encoding that is none.
pub(crate) const IDENTITY: &str = "identity";
