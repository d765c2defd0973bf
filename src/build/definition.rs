//! Services that no `.proto` has: [`Definition`].

use prost::Message;
use prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use super::{Error, MethodSettings};
use crate::codegen::{self, docs, names};

/// A service defined in code: its name and its methods, with types and codecs of the program.
///
/// ```no_run
/// use grpc_threads::build::{Builder, Definition, Rpc};
///
/// # fn main() -> Result<(), grpc_threads::build::Error> {
/// let echo = Definition::new("demo.Echo")
///     .comment("Says what it hears.")
///     .method(Rpc::unary_unary("Say", "crate::Text", "crate::Text").codec("crate::TextCodec"))
///     .method(Rpc::stream_stream("Chat", "crate::Text", "crate::Text").codec("crate::TextCodec"));
/// Builder::new().service(echo).compile()
/// # }
/// ```
///
/// It becomes what a service of a `.proto` does, in the file of its package (`demo.rs`), with a descriptor. There its
/// messages have the names of the Rust types and no fields, unless [`Rpc::proto_types`] says which they are.
#[derive(Clone, Debug)]
#[must_use]
pub struct Definition {
    full_name: String,
    comment: String,
    methods: Vec<Rpc>,
}

/// A method of a [`Definition`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Rpc {
    name: String,
    comment: String,
    request: String,
    response: String,
    request_streaming: bool,
    response_streaming: bool,
    codec: Option<String>,
    proto_types: Option<(String, String)>,
    settings: MethodSettings,
}

impl Definition {
    /// A service without methods. `full_name` is with its package: `demo.Echo`.
    pub fn new(full_name: impl Into<String>) -> Self {
        Self { full_name: full_name.into(), comment: String::new(), methods: Vec::new() }
    }

    /// What its documentation says.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = text.into();
        self
    }

    /// Adds a method.
    pub fn method(mut self, method: Rpc) -> Self {
        self.methods.push(method);
        self
    }

    pub(super) fn package(&self) -> &str {
        self.full_name.rsplit_once('.').map_or("", |(package, _)| package)
    }

    fn name(&self) -> &str {
        self.full_name.rsplit_once('.').map_or(&self.full_name, |(_, name)| name)
    }

    /// What the code is made of.
    pub(super) fn service(&self) -> Result<codegen::Service, Error> {
        let wrong = |what: &str| {
            Error::new(format!("the service {:?} defined in code: {what}", self.full_name))
        };
        if !self.full_name.split('.').all(names::is_word) {
            return Err(wrong("its name is to be identifiers with dots between them"));
        }
        for (at, method) in self.methods.iter().enumerate() {
            if !names::is_word(&method.name) {
                return Err(wrong(&format!("{:?} is no name for a method", method.name)));
            }
            if self.methods[..at].iter().any(|other| other.name == method.name) {
                return Err(wrong(&format!("it has two methods called {:?}", method.name)));
            }
        }
        Ok(codegen::Service {
            full_name: self.full_name.clone(),
            names: names::ServiceNames::unchosen(&names::type_name(self.name())),
            docs: lines_of(&self.comment),
            deprecated: false,
            methods: self.methods.iter().map(Rpc::method).collect(),
            server_attributes: Vec::new(),
            stub_attributes: Vec::new(),
        })
    }

    /// A file of its own that has the service, as an encoded `FileDescriptorSet`.
    pub(super) fn descriptor_set(&self) -> Vec<u8> {
        let mut messages: Vec<String> = Vec::new();
        let methods =
            self.methods.iter().map(|method| method.descriptor(self.package(), &mut messages));
        let service = ServiceDescriptorProto {
            name: Some(self.name().to_owned()),
            method: methods.collect(),
            options: None,
        };
        messages.sort();
        messages.dedup();
        let message = |name| DescriptorProto { name: Some(name), ..Default::default() };
        let file = FileDescriptorProto {
            name: Some(format!("{}.proto", self.full_name.replace('.', "/"))),
            package: Some(self.package().to_owned()).filter(|package| !package.is_empty()),
            message_type: messages.into_iter().map(message).collect(),
            service: vec![service],
            syntax: Some("proto3".to_owned()),
            ..Default::default()
        };
        FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }
}

/// A comment as lines of documentation.
fn lines_of(comment: &str) -> Vec<String> {
    let indent = |line: &str| if line.is_empty() { String::new() } else { format!(" {line}") };
    docs::harmless(comment).lines().map(indent).collect()
}

impl Rpc {
    fn new(name: String, request: String, response: String, streaming: [bool; 2]) -> Self {
        let [request_streaming, response_streaming] = streaming;
        Self {
            name,
            comment: String::new(),
            request,
            response,
            request_streaming,
            response_streaming,
            codec: None,
            proto_types: None,
            settings: MethodSettings::new(),
        }
    }

    /// One request, one response. Types are paths of Rust types, such as `crate::Text`.
    pub fn unary_unary(
        name: impl Into<String>,
        request: impl Into<String>,
        response: impl Into<String>,
    ) -> Self {
        Self::new(name.into(), request.into(), response.into(), [false, false])
    }

    /// One request, a stream of responses.
    pub fn unary_stream(
        name: impl Into<String>,
        request: impl Into<String>,
        response: impl Into<String>,
    ) -> Self {
        Self::new(name.into(), request.into(), response.into(), [false, true])
    }

    /// A stream of requests, one response.
    pub fn stream_unary(
        name: impl Into<String>,
        request: impl Into<String>,
        response: impl Into<String>,
    ) -> Self {
        Self::new(name.into(), request.into(), response.into(), [true, false])
    }

    /// Streams both ways.
    pub fn stream_stream(
        name: impl Into<String>,
        request: impl Into<String>,
        response: impl Into<String>,
    ) -> Self {
        Self::new(name.into(), request.into(), response.into(), [true, true])
    }

    /// What its documentation says.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = text.into();
        self
    }

    /// A Rust expression for the codec of both types, such as the path of a unit struct that implements
    /// [`Codec`](crate::Codec). Default: `grpc_threads::Prost`.
    pub fn codec(mut self, expression: impl Into<String>) -> Self {
        self.codec = Some(expression.into());
        self
    }

    /// What the messages are called in the descriptor: full names of messages that other descriptors have.
    pub fn proto_types(mut self, request: impl Into<String>, response: impl Into<String>) -> Self {
        self.proto_types = Some((request.into(), response.into()));
        self
    }

    /// Limits, a timeout and the like.
    pub fn settings(mut self, settings: MethodSettings) -> Self {
        self.settings = settings;
        self
    }

    fn method(&self) -> codegen::Method {
        codegen::Method {
            proto_name: self.name.clone(),
            name: names::snake_case(&self.name),
            docs: lines_of(&self.comment),
            deprecated: false,
            request: self.request.clone(),
            response: self.response.clone(),
            request_streaming: self.request_streaming,
            response_streaming: self.response_streaming,
            codec: self.codec.clone(),
            settings: self.settings.clone(),
            server_attributes: Vec::new(),
            stub_attributes: Vec::new(),
        }
    }

    /// Adds to `messages` those that have to be in the file.
    fn descriptor(&self, package: &str, messages: &mut Vec<String>) -> MethodDescriptorProto {
        let mut placeholder = |rust: &str| {
            let name: String = rust
                .rsplit("::")
                .next()
                .unwrap_or(rust)
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            let name = if name.is_empty() { "Message".to_owned() } else { name };
            messages.push(name.clone());
            if package.is_empty() { format!(".{name}") } else { format!(".{package}.{name}") }
        };
        let (input, output) = match &self.proto_types {
            Some((input, output)) => {
                let full = |name: &str| format!(".{}", name.trim_start_matches('.'));
                (full(input), full(output))
            }
            None => (placeholder(&self.request), placeholder(&self.response)),
        };
        MethodDescriptorProto {
            name: Some(self.name.clone()),
            input_type: Some(input),
            output_type: Some(output),
            client_streaming: self.request_streaming.then_some(true),
            server_streaming: self.response_streaming.then_some(true),
            options: None,
        }
    }
}
