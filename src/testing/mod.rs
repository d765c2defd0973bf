//! For tests of programs: a channel and a server that are joined in memory.
//!
//! With the feature `testing`, which is for dev-dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! grpc-threads = { version = "0.1", features = ["testing"] }
//! ```
//!
//! [`pair()`] starts a server of some services and gives a channel to it. Both are the real ones: calls of all kinds go through
//! HTTP/2, credit, deadlines and the thread pool. What is left out is the system's network: there is no socket, no port and no
//! name, so tests run side by side, and a small call takes less time. § grpclib's `ChannelFor`.
//!
//! ```
//! use grpc_threads::{Service, ServicerContext, testing, unary_unary_rpc_method_handler};
//!
//! let echo = unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
//! let pair = testing::pair(Service::new("demo.Echo").method("Say", echo))?;
//! let say = pair.channel().unary_unary::<String, String>("/demo.Echo/Say")?;
//! assert_eq!(say.call(&"hello".to_owned())?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Clock`] is the library's clock in the hands of a test: an hour's deadline passes in no time.
//! - [`Faults`] are what networks do to what goes over them: delays, stalls, cuts.
//! - [`Scripted`] is a channel whose calls the test answers by hand, for tests of clients.
//!
//! The guide (`docs/guides/testing.md`) shows each at work.

mod clock;
mod dial;
mod faults;
mod pair;
mod scripted;

pub use clock::Clock;
pub use faults::{Faults, Way};
pub use pair::{Pair, PairBuilder, channel, connect, pair, start};
pub use scripted::{Scripted, ScriptedCall};
