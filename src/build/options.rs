//! The command line of `grpc-threads-gen`; its options are those of the plugin, too.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::{Builder, Error, MethodSettings, plugin};

/// Runs the program with these arguments, the first of which is its name. Without any others it is a plugin.
#[doc(hidden)]
pub fn run_command(arguments: impl Iterator<Item = OsString>) -> Result<(), Error> {
    let arguments: Vec<OsString> = arguments.skip(1).collect();
    let is = |names: &[&str]| arguments.iter().any(|it| names.iter().any(|name| it == name));
    if arguments.is_empty() {
        serve_protoc()
    } else if is(&["--help", "-h"]) {
        print!("{USAGE}");
        Ok(())
    } else if is(&["--version"]) {
        println!("grpc-threads-gen {}", env!("CARGO_PKG_VERSION"));
        Ok(())
    } else {
        Command::parse(arguments)?.run()
    }
}

/// What the command line says.
struct Command {
    builder: Builder,
    protos: Vec<PathBuf>,
    includes: Vec<PathBuf>,
}

impl Command {
    fn parse(arguments: Vec<OsString>) -> Result<Self, Error> {
        let builder = Builder::new().cargo_directives(false);
        let mut command = Self { builder, protos: Vec::new(), includes: Vec::new() };
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let text = argument.to_string_lossy().into_owned();
            if text == "-I" {
                let folder = rest.next().ok_or_else(|| Error::new("-I needs a folder"))?;
                command.includes.push(folder.into());
            } else if let Some(folder) = text.strip_prefix("-I") {
                command.includes.push(folder.into());
            } else if let Some(option) = text.strip_prefix("--") {
                command = command.option(option, &mut rest)?;
            } else {
                command.protos.push(argument.into());
            }
        }
        Ok(command)
    }

    /// `name=value`, `name` and the next argument, or a name alone.
    fn option(
        mut self,
        option: &str,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<Self, Error> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, OsString::from(value)),
            None if FLAGS.contains(&&option.replace('_', "-")[..]) => (option, OsString::new()),
            None => {
                let value = rest.next();
                (option, value.ok_or_else(|| Error::new(format!("--{option} needs a value")))?)
            }
        };
        match &name.replace('_', "-")[..] {
            "proto-path" => self.includes.push(value.into()),
            "out" => self.builder = self.builder.out_dir(value),
            _ => self.builder = apply(self.builder, name, &value.to_string_lossy())?,
        }
        Ok(self)
    }

    fn run(mut self) -> Result<(), Error> {
        if self.protos.is_empty() {
            return Err(Error::new(format!("which files? None was given\n\n{USAGE}")));
        }
        if self.includes.is_empty() {
            self.includes.push(".".into());
        }
        if self.builder.out_dir.is_none() {
            self.builder = self.builder.out_dir(".");
        }
        self.builder.compile_protos(&self.protos, &self.includes)
    }
}

fn serve_protoc() -> Result<(), Error> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Error::new(USAGE));
    }
    let io = |error: std::io::Error| Error::new(format!("as a plugin of protoc: {error}"));
    let mut request = Vec::new();
    stdin.read_to_end(&mut request).map_err(io)?;
    std::io::stdout().write_all(&plugin::answer(&request)).map_err(io)
}

/// One option, as on the command line without its dashes, and as in the parameter of a plugin.
pub(super) fn apply(builder: Builder, name: &str, value: &str) -> Result<Builder, Error> {
    let pair = || {
        value.split_once('=').ok_or_else(|| {
            Error::new(format!("{name} is to be {name}=PATH=VALUE; it was {value:?}"))
        })
    };
    // Plugins' options are commonly spelt with underscores.
    Ok(match &name.replace('_', "-")[..] {
        "include-file" => builder.include_file(value),
        "client-only" => builder.client_only(),
        "server-only" => builder.server_only(),
        "messages-only" => builder.messages_only(),
        "descriptor-set" => builder.file_descriptor_set(value),
        "check" => builder.check(true),
        "descriptors-only" => builder.descriptors_only(),
        "no-embedded-descriptors" => builder.embed_descriptors(false),
        "bytes" => builder.bytes([value]),
        "btree-map" => builder.btree_map([value]),
        "no-comments" => builder.disable_comments(["."]),
        "well-known-types" => builder.compile_well_known_types(),
        "type-names" => builder.enable_type_names(),
        "library-path" => builder.library_path(value),
        "prost-path" => builder.prost_path(value),
        "prost-types-path" => builder.prost_types_path(value),
        "type-attribute" => {
            pair().map(|(path, attribute)| builder.type_attribute(path, attribute))?
        }
        "server-attribute" => {
            pair().map(|(path, attribute)| builder.server_attribute(path, attribute))?
        }
        "stub-attribute" => {
            pair().map(|(path, attribute)| builder.stub_attribute(path, attribute))?
        }
        "field-attribute" => {
            pair().map(|(path, attribute)| builder.field_attribute(path, attribute))?
        }
        "max-request-size" => {
            let settings = |bytes| MethodSettings::new().max_request_size(bytes);
            pair().and_then(|pair| number(name, pair, builder, settings))?
        }
        "max-response-size" => {
            let settings = |bytes| MethodSettings::new().max_response_size(bytes);
            pair().and_then(|pair| number(name, pair, builder, settings))?
        }
        "timeout-ms" => {
            let settings = |ms| MethodSettings::new().timeout(Duration::from_millis(u64::from(ms)));
            pair().and_then(|pair| number(name, pair, builder, settings))?
        }
        "extern-path" => pair().map(|(proto, rust)| builder.extern_path(proto, rust))?,
        "rename" => pair().map(|(proto, rust)| builder.rename(proto, rust))?,
        _ => return Err(Error::new(format!("there is no option {name:?}; see --help"))),
    })
}

/// A setting of methods that is a number.
fn number(
    name: &str,
    (path, value): (&str, &str),
    builder: Builder,
    settings: impl FnOnce(u32) -> MethodSettings,
) -> Result<Builder, Error> {
    match value.parse() {
        Ok(value) => Ok(builder.method_settings(path, settings(value))),
        Err(_) => Err(Error::new(format!(
            "{name} is to be a number up to {}; it was {value:?}",
            u32::MAX
        ))),
    }
}

/// Options without a value.
const FLAGS: [&str; 9] = [
    "check",
    "client-only",
    "server-only",
    "messages-only",
    "descriptors-only",
    "no-embedded-descriptors",
    "no-comments",
    "well-known-types",
    "type-names",
];

const USAGE: &str = "\
Stubs and servers for grpc-threads from .proto files.

  grpc-threads-gen [OPTIONS] [-I FOLDER]... FILE.proto...

  -I FOLDER                     where FILEs and their imports are looked for (.)
  --out=FOLDER                  where to write PACKAGE.rs (.)
  --include-file=NAME           write one more file that includes all others, in modules
  --client-only, --server-only, --messages-only
  --descriptor-set=FILE         write all descriptors to FILE
  --descriptors-only            nothing but those
  --check                       write nothing; fail where files are not as they would be written
  --no-embedded-descriptors     no FILE_DESCRIPTOR_SET in the code
  --bytes=PATH                  Bytes for fields of type bytes (. for all)
  --btree-map=PATH              BTreeMap for maps
  --no-comments                 leave out the comments of messages
  --well-known-types            generate google.protobuf, too
  --type-names                  generate prost::Name
  --type-attribute=PATH=ATTR, --field-attribute=PATH=ATTR
  --server-attribute=PATH=ATTR, --stub-attribute=PATH=ATTR
  --max-request-size=PATH=BYTES, --max-response-size=PATH=BYTES, --timeout-ms=PATH=MS
                                of methods (.pkg.Service.Method, or all of .pkg.Service)
  --extern-path=PROTO=RUST      types that are elsewhere
  --rename=PROTO=NAME           another name for a service (pkg.Service) or method (pkg.Service.Method)
  --library-path=PATH, --prost-path=PATH, --prost-types-path=PATH

Without arguments it is a plugin of protoc and buf; it takes the same options, without the dashes:

  protoc --plugin=protoc-gen-grpc-threads=$(which grpc-threads-gen) \\
         --grpc-threads_out=src/proto --grpc-threads_opt=client-only hello.proto
";
