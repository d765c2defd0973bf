//! Reflection, `grpc.reflection.v1` and `v1alpha`: what grpcurl, `buf curl` and other tools ask a server for its services, without a
//! `.proto` at hand.
//!
//! ```no_run
//! use grpc_threads::ThreadPool;
//! use grpc_threads::reflection::ServerReflection;
//! # mod helloworld { pub const FILE_DESCRIPTOR_SET: &[u8] = b""; }
//!
//! let server = grpc_threads::server(ThreadPool::new(8));
//! // Generated code has it for each package.
//! ServerReflection::new([helloworld::FILE_DESCRIPTOR_SET])?.add_to(&server)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Owns the answers, out of descriptor sets ([`ServerReflection`]), and the questions ([`DescriptorDatabase`]). Ignores which services the
//! server has: what is listed is said here. Stands on the public API. No threads of its own. One lock, a leaf: over what a database knows.
//!
//! § `grpc/reflection/v1/reflection.proto`, `doc/server-reflection.md`.

mod database;
mod files;
mod messages;

pub use self::database::DescriptorDatabase;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use self::files::Files;
use self::messages::{
    Answer, ExtensionNumbers, Question, Refusal, Request, Response, ServiceName, Services,
};
use crate::{
    Code, ConfigError, ConfigErrorKind, RequestIterator, Server, Service, ServicerContext, Status,
    ThreadPool, stream_stream_rpc_method_handler,
};

/// The full name of the service.
pub const SERVICE_NAME: &str = "grpc.reflection.v1.ServerReflection";
/// The name that it had before, by which many tools still ask.
pub const SERVICE_NAME_V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The longest question: a name and a little more.
const LONGEST_QUESTION: usize = 64 << 10;

/// Answers the questions of reflection out of descriptor sets. Python's `enable_server_reflection`, grpclib's `ServerReflection`.
///
/// It answers with files as they were given, with their options, comments and editions, and with each file come all that it imports. What it does not know
/// is an error within an answer (`NOT_FOUND`), and the stream goes on; a question that asks nothing is `INVALID_ARGUMENT` in the same way.
/// An open stream holds a worker, as every handler that waits for requests does: see [`thread_pool`](Self::thread_pool).
#[derive(Clone)]
pub struct ServerReflection {
    files: Arc<Files>,
    listed: Arc<BTreeSet<String>>,
    pool: Option<ThreadPool>,
}

impl ServerReflection {
    /// Of these sets, each an encoded `FileDescriptorSet`: a generated package's `FILE_DESCRIPTOR_SET`, or what
    /// `protoc --include_imports --descriptor_set_out` and `buf build` write. All services in them are listed.
    ///
    /// A file may be in several sets, if it is the same in all; comments do not count.
    ///
    /// # Errors
    /// Bytes that are no such set; a file that is another in two sets, or imports one that none has.
    pub fn new<S: AsRef<[u8]>>(sets: impl IntoIterator<Item = S>) -> Result<Self, ConfigError> {
        let wrong = |why: String| {
            ConfigError::new(
                ConfigErrorKind::Option,
                format!("descriptor sets for reflection: {why}"),
            )
        };
        let mut files = Files::default();
        for set in sets {
            files.add(set.as_ref()).map_err(wrong)?;
        }
        if let Some((file, import)) = files.missing() {
            let text = format!(
                "{file:?} imports {import:?}, which is in no set (protoc --include_imports has it)"
            );
            return Err(wrong(text));
        }
        let listed = files.services().map(str::to_owned).collect();
        Ok(Self { files: Arc::new(files), listed: Arc::new(listed), pool: None })
    }

    /// Lists these services instead of all that are in the sets, by their full names: those that the server has. Others can be described
    /// all the same, and those of which no set knows are listed only.
    #[must_use]
    pub fn services<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.listed = Arc::new(names.into_iter().map(Into::into).collect());
        self
    }

    /// Has the streams run on this pool, and not on the server's workers, of which each open stream holds one.
    #[must_use]
    pub fn thread_pool(mut self, pool: ThreadPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Adds both versions to a server.
    ///
    /// # Errors
    /// As of [`Server::add_service`].
    pub fn add_to(&self, server: &Server) -> Result<(), ConfigError> {
        server.add_service(self.service(SERVICE_NAME))?;
        server.add_service(self.service(SERVICE_NAME_V1ALPHA))
    }

    fn service(&self, name: &str) -> Service {
        let own = Self { pool: None, ..self.clone() };
        let info = stream_stream_rpc_method_handler(
            move |questions: RequestIterator<Request>, _: &ServicerContext| {
                let own = own.clone();
                Ok(questions.map(move |question| question.map(|question| own.answer(question))))
            },
        );
        let mut service = Service::new(name).method("ServerReflectionInfo", info);
        service = service.max_receive_message_size(LONGEST_QUESTION);
        match &self.pool {
            Some(pool) => service.thread_pool(pool.clone()),
            None => service,
        }
    }

    fn answer(&self, request: Request) -> Response {
        let answer = self.find(&request).unwrap_or_else(|status| {
            let (code, text) = (status.code().into(), status.message().to_owned());
            Answer::Error(Refusal { error_code: code, error_message: text })
        });
        Response {
            valid_host: request.host.clone(),
            original_request: Some(request),
            answer: Some(answer),
        }
    }

    fn find(&self, request: &Request) -> Result<Answer, Status> {
        let files = |found: Option<_>, what: &dyn fmt::Display| {
            let found =
                found.ok_or_else(|| Status::new(Code::NotFound, format!("not found: {what}")))?;
            Ok(Answer::Files(messages::Files { file_descriptor_proto: found }))
        };
        match &request.question {
            Some(Question::FileByFilename(name)) => files(self.files.by_name(name), name),
            Some(Question::FileContainingSymbol(name)) => files(self.files.by_symbol(name), name),
            Some(Question::FileContainingExtension(which)) => {
                let (message, number) = (&which.containing_type, which.extension_number);
                let told = format!("extension {number} of {message}");
                files(self.files.by_extension(message, number), &told)
            }
            Some(Question::AllExtensionNumbersOfType(name)) => {
                let found = self.files.extension_numbers(name);
                let numbers =
                    found.ok_or_else(|| Status::not_found(format!("not found: {name}")))?;
                let base_type_name = name.clone();
                Ok(Answer::ExtensionNumbers(ExtensionNumbers {
                    base_type_name,
                    extension_number: numbers,
                }))
            }
            Some(Question::ListServices(_)) => {
                let service = self.listed.iter().map(|name| ServiceName { name: name.clone() });
                Ok(Answer::Services(Services { service: service.collect() }))
            }
            None => Err(Status::invalid_argument("there is no question in it")),
        }
    }
}

impl fmt::Debug for ServerReflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerReflection").field("services", &self.listed).finish_non_exhaustive()
    }
}
