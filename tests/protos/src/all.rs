/// One run over all.
pub mod all {
    include!(concat!(env!("OUT_DIR"), "/all.rs"));
}

/// The same with options.
pub mod options {
    /// `google`.
    pub mod google {
        /// `google.protobuf`.
        pub mod protobuf {
            include!(concat!(env!("OUT_DIR"), "/options/google.protobuf.rs"));
        }
        /// `google.pubsub`.
        pub mod pubsub {
            /// `google.pubsub.v1`.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/options/google.pubsub.v1.rs"));
            }
        }
        /// `google.api`.
        pub mod api {
            include!(concat!(env!("OUT_DIR"), "/options/google.api.rs"));
        }
    }
}

/// The messages of the service that is defined in code.
#[derive(Debug, Default)]
pub struct Text(pub String);

/// Their codec.
#[derive(Clone, Copy, Debug)]
pub struct TextCodec;

impl grpc_threads::Codec<Text> for TextCodec {
    fn encode(&self, text: &Text, out: &mut dyn bytes::BufMut) -> Result<(), grpc_threads::Status> {
        out.put_slice(text.0.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: bytes::Bytes) -> Result<Text, grpc_threads::Status> {
        let text = String::from_utf8(bytes.into());
        text.map(Text).map_err(|error| grpc_threads::Status::internal(error.to_string()))
    }
}
