//! The messages and method names of `helloworld.Greeter`, as a code generator would write them.
//!
//! ```proto
//! service Greeter {
//!   rpc SayHello(HelloRequest) returns (HelloReply);
//!   rpc SayHelloStreamReply(HelloRequest) returns (stream HelloReply);
//!   rpc SayHelloToAll(stream HelloRequest) returns (HelloReply);
//!   rpc SayHelloBidiStream(stream HelloRequest) returns (stream HelloReply);
//! }
//! ```

#![allow(dead_code, reason = "no example uses all of it")]

/// The service's full name.
pub(crate) const SERVICE: &str = "helloworld.Greeter";

/// One request, one response.
pub(crate) const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
/// One request, many responses.
pub(crate) const SAY_HELLO_STREAM_REPLY: &str = "/helloworld.Greeter/SayHelloStreamReply";
/// Many requests, one response.
pub(crate) const SAY_HELLO_TO_ALL: &str = "/helloworld.Greeter/SayHelloToAll";
/// Many requests, many responses.
pub(crate) const SAY_HELLO_BIDI_STREAM: &str = "/helloworld.Greeter/SayHelloBidiStream";

/// Who wants to be greeted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HelloRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// The greeting.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HelloReply {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
}
