//! Stubs and servers from `.proto` files, for build scripts; nothing but cargo is needed, no `protoc`.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! grpc-threads = "0.1"
//! prost = "0.14"
//! prost-types = "0.14" # only if a `.proto` imports `google/protobuf/..`, such as Timestamp
//!
//! [build-dependencies]
//! grpc-threads = { version = "0.1", default-features = false, features = ["codegen"] }
//! ```
//!
//! In `build.rs`:
//!
//! ```no_run
//! fn main() -> Result<(), grpc_threads::build::Error> {
//!     grpc_threads::build::compile_protos(&["proto/helloworld.proto"], &["proto"])
//! }
//! ```
//!
//! In the program, for `package helloworld;` (and `include_proto!("_")` for files without a package):
//!
//! ```text
//! mod helloworld {
//!     grpc_threads::include_proto!("helloworld");
//! }
//! use helloworld::{Greeter, GreeterServer, GreeterStub, HelloReply, HelloRequest};
//! ```
//!
//! # Which files it reads
//!
//! Those that protoc 35.1 reads, of proto2, proto3 and the editions 2023 and 2024, by its rules: a name is one of the file's own
//! imports, in whatever order files are given, and what protoc refuses is refused with file, line and column. An editions
//! file gives the code that the same gives in proto2 or proto3. Descriptors, those in the code and those of
//! [`Builder::file_descriptor_set`], are protoc's, octet by octet. `google/protobuf/*.proto` are there, as of 35.1, unless
//! a folder has them.
//!
//! Comments become documentation, as Markdown; whatever they hold, none of it is a test.
//!
//! # What a service becomes
//!
//! For `service Greeter` there are, beside the messages of its package,
//!
//! - `trait Greeter`: a method for each of the service's, with `&self`, the request (or a `RequestIterator`) and a
//!   `&ServicerContext`. Streams of responses are `Result<impl Iterator<..>, Status>` and may borrow the service and the
//!   context. What is left out answers UNIMPLEMENTED. The trait has no `dyn` form when it has such streams: where
//!   a method is to return one of several iterators, return a `Box<dyn Iterator<Item = ..> + '_>` as the iterator.
//! - `GreeterServer::new(service)`: what `Server::add_service` takes; `say_hello_with(|service, stream, context| ..)`
//!   handles a method by hand, `max_receive_message_size` and `max_send_message_size` bound its messages.
//! - `GreeterStub::new(&channel)`: a field for each method, such as `stub.say_hello.timeout(d).call(&request)`; and
//!   `GreeterStub::with_options(&channel, options)`, which takes the `CallOptions` of all its calls by value.
//! - `SERVICE_NAME` and a `…_PATH` for each method, at both; and `FILE_DESCRIPTOR_SET` for server reflection, once
//!   per package.
//!
//! # Limits and timeouts of methods
//!
//! What a method is to be limited to can stand in its `.proto`, for clients and servers alike:
//!
//! ```text
//! import "grpc_threads/options.proto";
//!
//! service Orders {
//!   option (grpc_threads.service) = { timeout_ms: 5000 };
//!   rpc Place(Order) returns (Receipt) {
//!     option (grpc_threads.method) = { max_request_size: 65536 wait_for_ready: true };
//!   }
//! }
//! ```
//!
//! | option | in the code |
//! |---|---|
//! | `max_request_size`, `max_response_size` | the longest messages, in bytes, on both sides: `stub.place` has `max_send_message_size` and `max_receive_message_size`, the server's handler the same the other way round |
//! | `timeout_ms`, `wait_for_ready`, `compression` | `stub.place` has them; 0 milliseconds is no timeout; compression is `"none"`, `"gzip"`, `"deflate"` or the name of a `Compressor` |
//! | `reserved` | the handler is `reserved()` |
//! | `thread_pool` | the server has `place_thread_pool(pool)` |
//! | `name` | what it is called in Rust, as by [`Builder::rename`] |
//! | `server_attribute`, `stub_attribute` | as by [`Builder::server_attribute`] and [`Builder::stub_attribute`] |
//!
//! They hold from the start: what a call, `with_options` or `place_with` says comes after them. What is said of a
//! method wins over what is said of its service. The file is always there for this generator; protoc and buf find it in
//! the source of this crate, in `src/build`. Its two extensions have the number 56717, which a copy may change. Where the
//! `.proto` is not yours, [`Builder::method_settings`] says the same.
//!
//! # Names
//!
//! Methods are spelt as Rust does; keywords are raw (`r#type`), and a spelling that is there already gets a number
//! (`get_x_2`). Where a package has a message called `Greeter`, `GreeterServer` or `GreeterStub`, the
//! three are made of `GreeterService` instead, and cargo shows a warning; [`Builder::rename`] chooses other names.
//!
//! Fields that are one name in Rust, such as `N` and `n`, get a number (`n_2`). Two types that are one name, and names without
//! a letter or digit, are errors that say where both stand. A package `a.foo` beside a message `a.Foo` with types in it
//! is in the message's module, in `a.rs`; cargo shows a warning then.
//!
//! Import by name: `use grpc_threads::*` and `use helloworld::*` together make a name that both have, such as a message called
//! `Status` or `Metadata`, ambiguous where it is used (E0659); one that is imported by name wins.
//!
//! The fields of messages, and all else about them, is prost's: see `prost-build`. Well-known types are those
//! of `prost-types`, which the program then needs as a dependency. `Bytes` and `BufMut`, which a `Codec` needs, are at
//! `prost::bytes`, too.

mod boxes;
mod clashes;
mod compiler;
mod definition;
mod error;
mod generate;
mod google;
mod known;
mod lower;
mod modules;
mod nesting;
pub(crate) mod options;
mod plugin;
mod sane;
mod settings;
mod sources;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use crate::codegen::MethodSettings;
pub use definition::{Definition, Rpc};
pub use error::Error;
pub use generate::Generated;
#[doc(hidden)]
pub use options::run_command;

use generate::Names;
use sources::Sources;
use write::Writer;

/// Compiles `.proto` files, and all they import, into `OUT_DIR`: a file `package.name.rs` for each package, for
/// [`include_proto!`](crate::include_proto). For build scripts; also tells cargo which files to watch.
///
/// Each of `protos` has to be in one of the folders `includes`, where imports are looked for, too. The files
/// below `google/protobuf` are always there.
///
/// # Errors
/// What is wrong in a file, with its line and column; a file that is not there, with where it was looked for.
pub fn compile_protos(
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
) -> Result<(), Error> {
    Builder::new().compile_protos(protos, includes)
}

/// How code is to be generated; then generates it.
///
/// ```no_run
/// # fn main() -> Result<(), grpc_threads::build::Error> {
/// grpc_threads::build::Builder::new()
///     .client_only()
///     .bytes(["."])
///     .type_attribute(".shop.Order", "#[derive(serde::Serialize)]")
///     .compile_protos(&["proto/shop.proto"], &["proto"])
/// # }
/// ```
///
/// Paths of messages, fields and services are those of the `.proto` files: `.package.Message.field`. Where a set of
/// them is meant, a prefix such as `.package`, or `.` for all, will do.
#[must_use = "nothing is generated before one of the compile methods"]
pub struct Builder {
    config: prost_build::Config,
    out_dir: Option<PathBuf>,
    include_file: Option<String>,
    descriptor_file: Option<PathBuf>,
    library: String,
    client: bool,
    server: bool,
    embed_descriptors: bool,
    /// Whether there is any code to be written.
    code: bool,
    /// Whether to compare with what is there, and write nothing.
    check: bool,
    /// Whether to speak to cargo; by default when it runs us.
    directives: bool,
    renames: HashMap<String, String>,
    definitions: Vec<Definition>,
    /// Full names of what is not generated, with all that is in it.
    elsewhere: Vec<String>,
    strip_enum_prefix: bool,
    server_attributes: Attributes,
    stub_attributes: Attributes,
    method_settings: Vec<(String, MethodSettings)>,
}

/// By path.
#[derive(Debug, Default)]
struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// Those of a service, by its own name and by the prefixes of that.
    fn of(&self, full_name: &str) -> Vec<String> {
        let own = self.0.iter().filter(|(path, _)| is_path_of(path, full_name));
        own.map(|(_, attribute)| attribute.clone()).collect()
    }

    /// Those of a method, by its own name alone.
    fn of_method(&self, full_name: &str) -> Vec<String> {
        let own = self.0.iter().filter(|(path, _)| path.trim_matches('.') == full_name);
        own.map(|(_, attribute)| attribute.clone()).collect()
    }
}

/// Whether a path is that of what has this name, or of a package or service that has it.
fn is_path_of(path: &str, full_name: &str) -> bool {
    let path = path.trim_matches('.');
    let rest = full_name.strip_prefix(path);
    path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Builder {
    /// Client and server, into `OUT_DIR`, with comments.
    pub fn new() -> Self {
        let mut config = prost_build::Config::new();
        // What the options of ours are made of is for the generator alone.
        for name in settings::TYPES {
            config.extern_path(name, "()");
        }
        let elsewhere = [WELL_KNOWN].iter().chain(&settings::TYPES);
        Self {
            config,
            out_dir: None,
            include_file: None,
            descriptor_file: None,
            library: "::grpc_threads".to_owned(),
            client: true,
            server: true,
            embed_descriptors: true,
            code: true,
            check: false,
            directives: std::env::var_os("OUT_DIR").is_some(),
            renames: HashMap::new(),
            definitions: Vec::new(),
            elsewhere: elsewhere.map(|name| (*name).to_owned()).collect(),
            strip_enum_prefix: true,
            server_attributes: Attributes::default(),
            stub_attributes: Attributes::default(),
            method_settings: Vec::new(),
        }
    }

    /// Writes to this folder instead of `OUT_DIR`: for those who check generated code in, whose users then need no
    /// generator. The folder has to be there. Files that would not change are not touched.
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Writes one more file that includes all others, each in the module of its package.
    pub fn include_file(mut self, name: impl Into<String>) -> Self {
        self.include_file = Some(name.into());
        self
    }

    /// Only stubs: no traits, no servers.
    pub fn client_only(mut self) -> Self {
        (self.client, self.server) = (true, false);
        self
    }

    /// Only traits and servers: no stubs.
    pub fn server_only(mut self) -> Self {
        (self.client, self.server) = (false, true);
        self
    }

    /// Only messages.
    pub fn messages_only(mut self) -> Self {
        (self.client, self.server) = (false, false);
        self
    }

    /// Writes the descriptors of all files, as an encoded `FileDescriptorSet`, to this file, too.
    pub fn file_descriptor_set(mut self, path: impl Into<PathBuf>) -> Self {
        self.descriptor_file = Some(path.into());
        self
    }

    /// Only [`file_descriptor_set`](Self::file_descriptor_set), no code: what `protoc --descriptor_set_out
    /// --include_imports` writes, without `protoc`.
    pub fn descriptors_only(mut self) -> Self {
        self.code = false;
        self
    }

    /// Whether packages with services get a `FILE_DESCRIPTOR_SET`. Default: true.
    pub fn embed_descriptors(mut self, yes: bool) -> Self {
        self.embed_descriptors = yes;
        self
    }

    /// An attribute before the types of messages, enums and oneofs.
    pub fn type_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.config.type_attribute(path, attribute);
        self
    }

    /// An attribute before the types of messages.
    pub fn message_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.config.message_attribute(path, attribute);
        self
    }

    /// An attribute before the types of enums and oneofs.
    pub fn enum_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.config.enum_attribute(path, attribute);
        self
    }

    /// An attribute before fields.
    pub fn field_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.config.field_attribute(path, attribute);
        self
    }

    /// An attribute before the traits and servers of services, such as `#[doc(hidden)]`. (One that leaves them
    /// out is no use: their implementations stay.) With the path of a method, before the trait's method.
    pub fn server_attribute(
        mut self,
        path: impl Into<String>,
        attribute: impl Into<String>,
    ) -> Self {
        self.server_attributes.0.push((path.into(), attribute.into()));
        self
    }

    /// An attribute before the stubs of services, such as `#[doc(hidden)]`. With the path of a method, before the
    /// stub's field.
    pub fn stub_attribute(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.stub_attributes.0.push((path.into(), attribute.into()));
        self
    }

    /// Limits, a timeout and the like of methods: those of a package, a service, or one (`.shop.Orders.Place`). What is
    /// said of a method wins over what is said of its service, that over what is said of a package; and of the same,
    /// this over the options in the `.proto`. See [the module](self#limits-and-timeouts-of-methods).
    pub fn method_settings(mut self, path: impl Into<String>, settings: MethodSettings) -> Self {
        self.method_settings.push((path.into(), settings));
        self
    }

    /// Types of `.proto` files that are to be found elsewhere, and not generated: `(".shop.v1", "::shop_api::v1")`.
    pub fn extern_path(mut self, proto: impl Into<String>, rust: impl Into<String>) -> Self {
        let proto = proto.into();
        self.elsewhere.push(proto.clone());
        self.config.extern_path(proto, rust);
        self
    }

    /// Fields of type `bytes` that are to be `Bytes`, which share the receive buffer, and not `Vec<u8>`. The
    /// program needs the crate `bytes` then only if it names the type.
    pub fn bytes<S: AsRef<str>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.config.bytes(paths);
        self
    }

    /// Maps that are to be a `BTreeMap`.
    pub fn btree_map<S: AsRef<str>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.config.btree_map(paths);
        self
    }

    /// Fields to put in a `Box`, beside those that have to be.
    pub fn boxed(mut self, path: impl AsRef<str>) -> Self {
        self.config.boxed(path);
        self
    }

    /// Generates the well-known types (`google.protobuf`) like all others, instead of using `prost-types`.
    pub fn compile_well_known_types(mut self) -> Self {
        self.config.compile_well_known_types();
        self.elsewhere.retain(|name| name != WELL_KNOWN);
        self
    }

    /// Leaves out the comments of messages and fields: `["."]` for all. Those of services stay.
    pub fn disable_comments<S: AsRef<str>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.config.disable_comments(paths);
        self
    }

    /// Keeps the prefix that values of an enum often have: `Color::ColorRed`.
    pub fn retain_enum_prefix(mut self) -> Self {
        self.config.retain_enum_prefix();
        self.strip_enum_prefix = false;
        self
    }

    /// Generates `prost::Name` for messages: their names, as `Any` wants them.
    pub fn enable_type_names(mut self) -> Self {
        self.config.enable_type_names();
        self
    }

    /// Where the crate `prost` is, if not at `::prost`. With this crate's feature `derive` there is one at
    /// `::grpc_threads::prost`, and the program needs no dependency on it.
    pub fn prost_path(mut self, path: impl Into<String>) -> Self {
        self.config.prost_path(path);
        self
    }

    /// Where the crate `prost-types` is, if not at `::prost_types`.
    pub fn prost_types_path(mut self, path: impl Into<String>) -> Self {
        self.config.prost_types_path(path);
        self
    }

    /// Where this crate is, if not at `::grpc_threads`.
    pub fn library_path(mut self, path: impl Into<String>) -> Self {
        self.library = path.into();
        self
    }

    /// Writes nothing, and fails where files are not as they would be written: for CI, where generated code is checked in.
    /// Files that no package has any more are not looked for.
    pub fn check(mut self, yes: bool) -> Self {
        self.check = yes;
        self
    }

    /// Another name for what a service (`shop.Orders`) is called in Rust, such as `Shop` for `Shop`, `ShopServer` and
    /// `ShopStub`; or for a method (`shop.Orders.Get`).
    pub fn rename(mut self, proto: impl AsRef<str>, name: impl Into<String>) -> Self {
        let proto = proto.as_ref().trim_start_matches('.').to_owned();
        self.renames.insert(proto, name.into());
        self
    }

    /// One more service, which no `.proto` has.
    pub fn service(mut self, definition: Definition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// Whether to tell cargo which files to watch, and of names that were changed, on standard output. Default: true
    /// in a build script.
    pub fn cargo_directives(mut self, yes: bool) -> Self {
        self.directives = yes;
        self
    }

    /// Compiles `.proto` files, and all they import; see [`compile_protos`].
    ///
    /// # Errors
    /// What is wrong in a file, with its line and column; a file that is not there, with where it was looked for.
    pub fn compile_protos(
        self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<(), Error> {
        let sources = Sources::read(protos, includes)?;
        self.write(sources)
    }

    /// Generates what was defined in code alone, with [`service`](Self::service).
    ///
    /// # Errors
    /// Names that cannot be.
    pub fn compile(self) -> Result<(), Error> {
        self.write(Sources::default())
    }

    /// Generates without writing files: their names and texts, in order of the names.
    ///
    /// # Errors
    /// As [`compile_protos`](Self::compile_protos).
    pub fn generate(
        mut self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<Vec<Generated>, Error> {
        let mut sources = Sources::read(protos, includes)?;
        let (files, _) = self.run(&mut sources)?;
        Ok(files)
    }

    fn run(&mut self, sources: &mut Sources) -> Result<(Vec<Generated>, Names), Error> {
        let (files, names) = generate::generate(self, sources, |_| true)?;
        names.check(self)?;
        Ok((files, names))
    }

    fn write(mut self, mut sources: Sources) -> Result<(), Error> {
        let mut writer = Writer::new(self.check);
        let mut names = Names::default();
        if self.code {
            let (folder, in_out_dir) = self.folder()?;
            let (files, found) = self.run(&mut sources)?;
            names = found;
            names.changed.extend(self.needs(&files));
            for file in &files {
                let is_there = |name: &str| sources.has(name);
                writer.put(
                    &folder.join(&file.name),
                    file.text.as_bytes(),
                    &file.sources,
                    is_there,
                )?;
            }
            if let Some(name) = &self.include_file {
                let included: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
                let text = modules::include_file(&files, in_out_dir);
                let is_there = |name: &str| folder.join(name).exists();
                writer.put(&folder.join(name), text.as_bytes(), &included, is_there)?;
            }
        } else if self.descriptor_file.is_none() {
            return Err(Error::new("where to write the descriptors? See file_descriptor_set()"));
        }
        if let Some(path) = &self.descriptor_file {
            writer.put(path, &sources.descriptor_set(), &[], |_| false)?;
        }
        names.changed.extend(writer.finish()?);
        if self.directives {
            sources.paths().for_each(|path| println!("cargo:rerun-if-changed={}", path.display()));
            names.changed.iter().for_each(|text| println!("cargo:warning={text}"));
        } else {
            names.changed.iter().for_each(|text| eprintln!("warning: {text}"));
        }
        Ok(())
    }

    /// What the code needs and the crate that is being built does not name, if it is known.
    fn needs(&self, files: &[Generated]) -> Option<String> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").filter(|_| self.directives)?;
        let manifest = std::fs::read_to_string(Path::new(&manifest).join("Cargo.toml")).ok()?;
        needed(files, &manifest)
    }

    /// Where to write, and whether that is `OUT_DIR`.
    fn folder(&self) -> Result<(PathBuf, bool), Error> {
        match (&self.out_dir, std::env::var_os("OUT_DIR")) {
            (Some(folder), _) => Ok((folder.clone(), false)),
            (None, Some(folder)) => Ok((PathBuf::from(folder), true)),
            (None, None) => Err(Error::new(
                "where to write? There is no OUT_DIR outside a build script; choose an out_dir()",
            )),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("messages", &self.config)
            .field("out_dir", &self.out_dir)
            .field("client", &self.client)
            .field("server", &self.server)
            .field("renames", &self.renames)
            .finish_non_exhaustive()
    }
}

const WELL_KNOWN: &str = ".google.protobuf";

fn needed(files: &[Generated], manifest: &str) -> Option<String> {
    let has = |line: &str| !line.trim_start().starts_with('#') && line.contains("prost-types");
    let user = files.iter().find(|file| file.text.contains("::prost_types::"))?;
    (!manifest.lines().any(has)).then(|| {
        format!(
            "{} has well-known types, which are those of the crate prost-types: add the line `prost-types = \"0.14\"` to \
             [dependencies] in Cargo.toml",
            user.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_types_need_a_line_in_cargo_toml() {
        let file = |text: &str| Generated {
            name: "a.rs".to_owned(),
            text: text.to_owned(),
            modules: vec![],
            sources: vec![],
        };
        let uses = [file("pub struct A;"), file("pub any: ::prost_types::Any,")];
        let text =
            needed(&uses, "[dependencies]\n# prost-types = \"0.14\"\nprost = \"0.14\"\n").unwrap();
        assert!(text.contains("a.rs") && text.contains("`prost-types = \"0.14\"`"), "{text}");
        assert_eq!(needed(&uses, "[dependencies]\nprost-types.workspace = true\n"), None);
        assert_eq!(needed(&uses[..1], ""), None);
    }
}
