//! `helloworld.Greeter` and its messages, from `proto/helloworld.proto`.

include!("../generated/helloworld.rs");
