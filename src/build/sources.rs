//! `.proto` files, read and checked: descriptors for the messages, encoded ones for reflection.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use prost::Message as _;
use prost_types::{FileDescriptorProto, SourceCodeInfo};

use super::compiler::{Comment, Pool, Pos, Trouble, model};
use super::settings::{self, Settings};
use super::{Error, google, lower, sane};
use crate::codegen::descriptor::{self, Fields, File};
use crate::codegen::docs::Docs;

/// Files in an order in which each comes after those it imports.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// With comments, in words that the generator of messages knows.
    pub(super) descriptors: Vec<FileDescriptorProto>,
    /// The comments, which are marks in the descriptors.
    pub(super) docs: Docs,
    /// The same files as they are, without comments.
    pub(super) encoded: Vec<File>,
    /// Where things stand in them.
    pub(super) places: Vec<Places>,
    /// What they say of services and methods in options of ours.
    pub(super) settings: Settings,
    paths: Vec<PathBuf>,
    includes: Vec<PathBuf>,
}

/// Where the elements of a file stand.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// As one finds it from here.
    file: String,
    by_path: HashMap<Box<[i32]>, Pos>,
}

impl Places {
    /// `file:line:column` of the element with this path, or the file alone.
    pub(super) fn of(&self, path: &[i32]) -> String {
        match self.by_path.get(path) {
            Some(pos) => format!("{}:{pos}", self.file),
            None => self.file.clone(),
        }
    }
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
        let mut folders = Folders { includes: &includes, found: HashMap::new(), trouble: None };
        let mut pool = Pool::default();
        for proto in protos {
            let name = folders.name(proto.as_ref())?;
            let result = pool.add(&name, &mut |name| folders.open(name));
            if let Some(error) = folders.trouble.take() {
                return Err(error);
            }
            result.map_err(|trouble| folders.tell(proto.as_ref(), trouble))?;
        }
        let includes = includes.iter().map(PathBuf::from).collect();
        let mut sources = Self { includes, ..Self::default() };
        for linked in pool.files {
            let path = folders.found.remove(linked.file.name());
            let file = path
                .as_ref()
                .map_or(linked.file.name().to_owned(), |path| path.display().to_string());
            sources.paths.extend(path);
            sources.settings.read(&linked.file)?;
            sources.encoded.push(File::read(&linked.file.to_bytes()));
            sources.descriptors.push(lower::file(linked.file, linked.comments, &mut sources.docs));
            sources.places.push(Places { file, by_path: linked.places });
        }
        lower::defaults(&mut sources.descriptors);
        Ok(sources)
    }

    /// Files that were compiled elsewhere, as encoded `FileDescriptorProto`s.
    pub(super) fn decode<'a>(files: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        const SOURCE_CODE_INFO: u64 = 9;
        let mut sources = Self::default();
        let broken = |error| Error::new(format!("a descriptor cannot be read: {error}"));
        for bytes in files {
            let file = model::File::decode(bytes).map_err(broken)?;
            let mut comments = Vec::new();
            for field in Fields(bytes).filter(|field| field.number == SOURCE_CODE_INFO) {
                let info = SourceCodeInfo::decode(field.payload).map_err(broken)?;
                comments.extend(info.location.into_iter().map(|location| Comment {
                    path: location.path.into(),
                    leading: location.leading_comments,
                    trailing: location.trailing_comments,
                    detached: location.leading_detached_comments,
                }));
            }
            comments.sort_by(|a, b| a.path.cmp(&b.path));
            sources.places.push(Places { file: file.name().to_owned(), by_path: HashMap::new() });
            sources.encoded.push(File::read(bytes));
            sources.settings.read(&file)?;
            sources.descriptors.push(lower::file(file, comments, &mut sources.docs));
        }
        sane::check(&sources.descriptors)?;
        lower::defaults(&mut sources.descriptors);
        Ok(sources)
    }

    /// All files as an encoded `FileDescriptorSet`.
    pub(super) fn descriptor_set(&self) -> Vec<u8> {
        descriptor::set(&self.encoded)
    }

    /// Whether there is a file that imports would call so.
    pub(super) fn has(&self, name: &str) -> bool {
        self.includes.iter().any(|folder| folder.join(name).exists())
    }

    /// The files that were read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path)
    }
}

/// Where files are looked for, and where they were found.
struct Folders<'i> {
    includes: &'i [&'i Path],
    found: HashMap<String, PathBuf>,
    /// A file that is there and cannot be read.
    trouble: Option<Error>,
}

impl Folders<'_> {
    /// What imports call the file at `path`.
    fn name(&self, path: &Path) -> Result<String, Error> {
        let plain = |path: &Path| -> Vec<std::ffi::OsString> {
            path.components()
                .filter(|part| *part != Component::CurDir)
                .map(|part| part.as_os_str().to_owned())
                .collect()
        };
        let parts = plain(path);
        let below = |folder: &&Path| parts.strip_prefix(&plain(folder)[..]).and_then(file_name);
        match self.includes.iter().find_map(below) {
            // A file of the same name in a folder that comes first would be read in its place.
            Some(name) => match self
                .includes
                .iter()
                .map(|folder| folder.join(&name))
                .find(|there| there.exists())
            {
                Some(first) if plain(&first) != parts => Err(Error::new(format!(
                    "{} is hidden by {}, which comes first in the include paths",
                    path.display(),
                    first.display()
                ))),
                _ => Ok(name),
            },
            None => {
                file_name(&parts).filter(|_| path.is_relative()).ok_or_else(|| self.missing(path))
            }
        }
    }

    fn open(&mut self, name: &str) -> Option<Vec<u8>> {
        // An import is a name, no way out of the folders.
        if name.is_empty()
            || name.contains('\\')
            || name.split('/').any(|part| matches!(part, "" | "." | ".."))
        {
            return None;
        }
        for folder in self.includes {
            let path = folder.join(name);
            match std::fs::read(&path) {
                Ok(text) => {
                    self.found.insert(name.to_owned(), path);
                    return Some(text);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("{} cannot be read: {error}", path.display());
                    self.trouble.get_or_insert(Error::new(text));
                    return None;
                }
            }
        }
        let ours = || (name == settings::FILE).then_some(settings::TEXT);
        google::text(name).or_else(ours).map(|text| text.as_bytes().to_vec())
    }

    /// `file:line:column: what is wrong`, with the file as one finds it from here.
    fn tell(&self, proto: &Path, trouble: Trouble) -> Error {
        let path = |name: &str| {
            self.found.get(name).map_or(name.to_owned(), |path| path.display().to_string())
        };
        match trouble {
            Trouble::Fault { file, fault } => {
                Error::new(format!("{}:{}: {}", path(&file), fault.pos, fault.text))
            }
            Trouble::Missing { file, importer: Some((importer, pos)) } => Error::new(format!(
                "{}:{pos}: import '{file}' not found{}",
                path(&importer),
                self.looked_in()
            )),
            Trouble::Missing { .. } => self.missing(proto),
        }
    }

    /// For a file to compile that is not there, or in none of the folders.
    fn missing(&self, proto: &Path) -> Error {
        let what = if proto.exists() { "is in none of the include paths" } else { "is not there" };
        Error::new(format!("{} {what}{}", proto.display(), self.looked_in()))
    }

    fn looked_in(&self) -> String {
        let mut text = String::from("; looked in:");
        for folder in self.includes {
            text.push_str(&format!("\n  {}", folder.display()));
            if !folder.is_dir() {
                text.push_str(" (there is no such folder)");
            }
        }
        if self.includes.is_empty() {
            text.push_str("\n  (no include path was given)");
        }
        text
    }
}

/// With slashes between its parts.
fn file_name(parts: &[std::ffi::OsString]) -> Option<String> {
    let parts: Option<Vec<&str>> = parts.iter().map(|part| part.to_str()).collect();
    parts.filter(|parts| !parts.is_empty() && !parts.contains(&"..")).map(|parts| parts.join("/"))
}
