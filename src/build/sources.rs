//! `.proto` files, read and checked: descriptors for the messages, encoded ones for reflection.

use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorProto;
use protox::Compiler;
use protox::file::{ChainFileResolver, FileResolver, GoogleFileResolver, IncludeFileResolver};

use super::Error;
use crate::codegen::descriptor::{self, File};

/// Files in an order in which each comes after those it imports.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// With comments.
    pub(super) descriptors: Vec<FileDescriptorProto>,
    /// The same files without them.
    pub(super) encoded: Vec<File>,
    paths: Vec<PathBuf>,
}

impl Sources {
    /// Reads `protos` and what they import.
    pub(super) fn read(
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<Self, Error> {
        if protos.is_empty() {
            return Err(Error::new(
                "there is no .proto file to compile: the list of them is empty",
            ));
        }
        let includes: Vec<&Path> = includes.iter().map(AsRef::as_ref).collect();
        let tell = |error: protox::Error| Error::new(text(&error, &includes));
        let mut compiler = Compiler::with_file_resolver(Resolver::new(&includes));
        compiler.include_source_info(true).include_imports(true);
        for proto in protos {
            compiler.open_file(proto).map_err(|error| {
                missing(proto.as_ref(), &error, &includes).unwrap_or_else(|| tell(error))
            })?;
        }
        let encoded = compiler
            .descriptor_pool()
            .files()
            .map(|file| File::read(&file.encode_to_vec()))
            .collect();
        Ok(Self {
            descriptors: compiler.file_descriptor_set().file,
            encoded,
            paths: compiler.files().filter_map(|file| file.path()).map(PathBuf::from).collect(),
        })
    }

    /// Files that were compiled elsewhere, as encoded `FileDescriptorProto`s.
    pub(super) fn decode<'a>(files: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let mut sources = Self::default();
        for bytes in files {
            let descriptor = FileDescriptorProto::decode(bytes)
                .map_err(|error| Error::new(format!("a descriptor cannot be read: {error}")))?;
            sources.descriptors.push(descriptor);
            sources.encoded.push(File::read(bytes));
        }
        Ok(sources)
    }

    /// All files as an encoded `FileDescriptorSet`.
    pub(super) fn descriptor_set(&self) -> Vec<u8> {
        descriptor::set(&self.encoded)
    }

    /// The files that were read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path)
    }
}

/// The folders, and what everybody may import from `google/protobuf`.
struct Resolver {
    folders: ChainFileResolver,
}

impl Resolver {
    fn new(includes: &[&Path]) -> Self {
        let mut folders = ChainFileResolver::new();
        includes.iter().for_each(|folder| folders.add(IncludeFileResolver::new(folder.into())));
        Self { folders }
    }
}

impl FileResolver for Resolver {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.folders.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        // Also where a folder has such a file in a syntax that the parser does not know: `descriptor.proto` of
        // today is written in one.
        self.folders
            .open_file(name)
            .or_else(|error| GoogleFileResolver::new().open_file(name).map_err(|_| error))
    }
}

/// For a file to compile that is not there, or in none of the folders.
fn missing(proto: &Path, error: &protox::Error, includes: &[&Path]) -> Option<Error> {
    if !error.is_file_not_found() || error.file().is_some() {
        return None;
    }
    let what = if proto.exists() { "is in none of the include paths" } else { "is not there" };
    Some(Error::new(format!("{} {what}{}", proto.display(), looked_in(includes))))
}

/// `file:line:column: what is wrong`, with the file as one finds it from here.
fn text(error: &protox::Error, includes: &[&Path]) -> String {
    let mut text = format!("{error:?}");
    if let Some(name) = error.file() {
        let path = includes.iter().map(|folder| folder.join(name)).find(|path| path.exists());
        if let (Some(path), Some(rest)) = (path, text.strip_prefix(name)) {
            text = format!("{}{rest}", path.display());
        }
    }
    if error.is_file_not_found() {
        text.push_str(&looked_in(includes));
    }
    text
}

fn looked_in(includes: &[&Path]) -> String {
    let mut text = String::from("; looked in:");
    for folder in includes {
        text.push_str(&format!("\n  {}", folder.display()));
        if !folder.is_dir() {
            text.push_str(" (there is no such folder)");
        }
    }
    if includes.is_empty() {
        text.push_str("\n  (no include path was given)");
    }
    text
}
