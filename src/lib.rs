//! gRPC on plain threads.
#![allow(dead_code)] // while the house is being built

pub mod codec;
pub mod credentials;
mod deadline;
pub mod metadata;
mod status;

mod http2;

mod wire;

mod net;
mod reactor;

mod link;

mod call;

mod channel;
mod client;
mod server;
