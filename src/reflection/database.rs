//! The other side of reflection: [`DescriptorDatabase`], a server's descriptors by questions over a channel.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::files;
use super::messages::{Answer, ExtensionRequest, Question, Request, Response};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::{Channel, Code, MethodPath, Prost, Status, StreamStream};

/// Asks a server for its services and their descriptors, and keeps the files that it was given. Python's
/// `ProtoReflectionDescriptorDatabase`.
///
/// It asks by `v1`, and by `v1alpha` where a server has that alone. Each question is a call of its own, which blocks this thread until
/// it is answered, for 30 s at most, or [`timeout`](Self::timeout). Files are what the server gave, encoded `FileDescriptorProto`s: a crate such as
/// `prost-reflect` makes messages of them.
///
/// ```no_run
/// use grpc_threads::reflection::DescriptorDatabase;
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// let database = DescriptorDatabase::new(&channel);
/// for service in database.services()? {
///     let set = database.descriptor_set(&service)?;
///     println!("{service}: {} bytes of descriptors", set.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DescriptorDatabase {
    v1: StreamStream<Request, Response>,
    v1alpha: StreamStream<Request, Response>,
    timeout: Duration,
    /// The server has v1alpha alone.
    old: AtomicBool,
    /// A leaf; nothing is asked under it.
    files: Mutex<Known>,
}

/// Files by their names, each in a buffer of its own: an answer may have much beside them.
#[derive(Default)]
struct Known {
    files: HashMap<String, Bytes>,
    octets: usize,
}

impl Known {
    /// False: there are too many.
    fn keep(&mut self, name: String, file: &[u8]) -> bool {
        if self.files.contains_key(&name) {
            return true;
        }
        self.octets += name.len() + file.len();
        self.files.insert(name, Bytes::copy_from_slice(file));
        self.files.len() <= MOST && self.octets <= MOST_OCTETS
    }
}

const V1: MethodPath =
    MethodPath::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
const V1ALPHA: MethodPath =
    MethodPath::from_static("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");

/// A server that names ever new files is not followed further.
const MOST: usize = 10_000;
/// Nor one whose files are longer than this, all together.
const MOST_OCTETS: usize = 64 << 20;

impl DescriptorDatabase {
    /// Of the server that this channel leads to. Nothing is asked yet.
    #[must_use]
    pub fn new(channel: &Channel) -> Self {
        Self {
            v1: channel.stream_stream_at(V1, Prost),
            v1alpha: channel.stream_stream_at(V1ALPHA, Prost),
            timeout: Duration::from_secs(30),
            old: AtomicBool::new(false),
            files: Mutex::default(),
        }
    }

    /// How long one question may take. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The full names of the server's services, as it lists them.
    ///
    /// # Errors
    /// How the call ended: `UNIMPLEMENTED` of a server without reflection.
    pub fn services(&self) -> Result<Vec<String>, Status> {
        match self.ask(Question::ListServices(String::new()))? {
            Answer::Services(found) => {
                Ok(found.service.into_iter().map(|named| named.name).collect())
            }
            other => Err(unfit(&other)),
        }
    }

    /// A file by its name. One that came before is not asked for again.
    ///
    /// # Errors
    /// What the server says of it, such as `NOT_FOUND`, and how the call ended.
    pub fn file(&self, name: &str) -> Result<Bytes, Status> {
        let known = self.files.lock().files.get(name).cloned();
        known.map_or_else(|| self.fetch(Question::FileByFilename(name.into())), Ok)
    }

    /// The file that declares a service, a message, an enum, or what is in one of them.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn file_containing_symbol(&self, symbol: &str) -> Result<Bytes, Status> {
        self.fetch(Question::FileContainingSymbol(symbol.into()))
    }

    /// The file that extends a message with a field of this number.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn file_containing_extension(&self, message: &str, number: i32) -> Result<Bytes, Status> {
        let which = ExtensionRequest { containing_type: message.into(), extension_number: number };
        self.fetch(Question::FileContainingExtension(which))
    }

    /// The numbers of all fields that a message is extended with.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn all_extension_numbers(&self, message: &str) -> Result<Vec<i32>, Status> {
        match self.ask(Question::AllExtensionNumbersOfType(message.into()))? {
            Answer::ExtensionNumbers(found) => Ok(found.extension_number),
            other => Err(unfit(&other)),
        }
    }

    /// The file that declares a symbol and all that it imports, itself last: an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// As [`file`](Self::file); `DATA_LOSS` of files that import each other in a circle, or are none; `RESOURCE_EXHAUSTED` of more than
    /// 10 000, or 64 MiB of them.
    pub fn descriptor_set(&self, symbol: &str) -> Result<Vec<u8>, Status> {
        let first = self.file_containing_symbol(symbol)?;
        // Each with the imports that are still to come; what is done is behind what it imports.
        let (mut done, mut order): (HashMap<String, bool>, Vec<Bytes>) = Default::default();
        let mut open = vec![self.opened(first)?];
        done.insert(open[0].0.clone(), false);
        while let Some((name, octets, imports)) = open.last_mut() {
            match imports.pop() {
                Some(import) => match done.get(&import) {
                    Some(true) => {}
                    Some(false) => {
                        return Err(Status::data_loss(format!(
                            "{name:?} and {import:?} import each other"
                        )));
                    }
                    None if done.len() >= MOST => {
                        return Err(Status::resource_exhausted(format!(
                            "it needs more than {MOST} files"
                        )));
                    }
                    None => {
                        let file = self.file(&import)?;
                        done.insert(import, false);
                        open.push(self.opened(file)?);
                    }
                },
                None => {
                    done.insert(std::mem::take(name), true);
                    order.push(std::mem::take(octets));
                    open.pop();
                }
            }
        }
        Ok(files::set_of(order))
    }

    fn opened(&self, file: Bytes) -> Result<(String, Bytes, Vec<String>), Status> {
        let (name, imports) = files::head(&file).ok_or_else(no_file)?;
        Ok((name, file, imports))
    }

    /// The first file of an answer is what was asked for; all are kept.
    fn fetch(&self, question: Question) -> Result<Bytes, Status> {
        let Answer::Files(found) = self.ask(question)? else { return Err(no_file()) };
        let mut known = self.files.lock();
        for file in &found.file_descriptor_proto {
            let (name, _) = files::head(file).ok_or_else(no_file)?;
            if !known.keep(name, file) {
                *known = Known::default();
                return Err(Status::resource_exhausted(format!(
                    "the server has given more than {MOST} files, or more than {MOST_OCTETS} bytes of them"
                )));
            }
        }
        found.file_descriptor_proto.into_iter().next().ok_or_else(no_file)
    }

    fn ask(&self, question: Question) -> Result<Answer, Status> {
        let request = Request { host: String::new(), question: Some(question) };
        let old = self.old.load(Ordering::Relaxed);
        let answer = match self.call(if old { &self.v1alpha } else { &self.v1 }, &request) {
            Err(status) if !old && status.code() == Code::Unimplemented => {
                let answer = self.call(&self.v1alpha, &request)?;
                self.old.store(true, Ordering::Relaxed);
                answer
            }
            result => result?,
        };
        match answer {
            Answer::Error(refusal) => {
                Err(Status::new(Code::from_i32(refusal.error_code), refusal.error_message))
            }
            answer => Ok(answer),
        }
    }

    fn call(
        &self,
        info: &StreamStream<Request, Response>,
        request: &Request,
    ) -> Result<Answer, Status> {
        let mut stream = info.timeout(self.timeout).open();
        stream.send(request)?;
        stream.done_writing()?;
        let response =
            stream.recv()?.ok_or_else(|| Status::data_loss("the server gave no answer"))?;
        response.answer.ok_or_else(|| Status::data_loss("the server's answer is empty"))
    }
}

impl fmt::Debug for DescriptorDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorDatabase").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn no_file() -> Status {
    Status::data_loss("the server's answer is no file descriptor")
}

fn unfit(answer: &Answer) -> Status {
    let kind = match answer {
        Answer::Files(_) => "files",
        Answer::ExtensionNumbers(_) => "extension numbers",
        Answer::Services(_) => "services",
        Answer::Error(_) => "an error",
    };
    Status::data_loss(format!("the server answered another question, with {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_has_more_kept_than_there_is_room_for() {
        let mut known = Known::default();
        let long = vec![0; MOST_OCTETS / 4];
        assert!((0..3).all(|n| known.keep(n.to_string(), &long)));
        assert!(known.keep("0".into(), &long), "one that is there costs nothing");
        assert!(!known.keep("3".into(), &long));
        let mut known = Known::default();
        assert!((0..MOST).all(|n| known.keep(n.to_string(), b"")));
        assert!(!known.keep("one more".into(), b""));
    }

    #[test]
    fn what_is_kept_holds_nothing_of_the_answer() {
        let answer = Bytes::from(vec![1; 1 << 20]);
        let mut known = Known::default();
        assert!(known.keep("a".into(), &answer.slice(..10)));
        assert_eq!(known.files["a"].len(), 10);
        assert!(answer.try_into_mut().is_ok(), "nobody else has it");
    }
}
