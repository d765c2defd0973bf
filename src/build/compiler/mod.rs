//! A compiler of `.proto` files: what protoc does between reading a file and handing its descriptor on.
//!
//! Text comes in through a function that knows where files are; descriptors go out, in protoc's octets. [`lexer`] and
//! [`parser`] read one file, [`link`] resolves its names by its imports alone, [`interpret`] its options, [`check`] refuses
//! what protoc refuses. Ignores the file system, and Rust code.
//!
//! Of our own since the parsers that are to be had read no editions, and resolve names in all files of a run at once.

mod check;
mod features;
mod interpret;
mod lexer;
mod link;
pub(crate) mod model;
mod parser;
mod raw;
pub(crate) mod tag;
mod text_format;
mod tree;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::OnceLock;

pub(super) use features::{
    Features, OF_FIELD, OF_MESSAGE, OF_ONEOF, is_packed, of_file as features_of_file,
};
use link::Symbol;
use model::{Enum, Field, File, Message};
use raw::Notes;

/// A place in a text, both numbers from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pos {
    line: u32,
    column: u32,
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line + 1, self.column + 1)
    }
}

/// What is wrong in a file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) pos: Pos,
    pub(super) text: String,
}

impl Fault {
    fn new(pos: Pos, text: impl Into<String>) -> Self {
        Self { pos, text: text.into() }
    }
}

/// What is wrong in one of the files of a run.
#[derive(Debug)]
pub(super) enum Trouble {
    Fault {
        file: String,
        fault: Fault,
    },
    /// A file that is not there; `Some` for an import, with where it stands.
    Missing {
        file: String,
        importer: Option<(String, Pos)>,
    },
}

/// A comment on an element.
#[derive(Debug)]
pub(super) struct Comment {
    pub(super) path: Box<[i32]>,
    pub(super) leading: Option<String>,
    pub(super) trailing: Option<String>,
    pub(super) detached: Vec<String>,
}

/// A file of a [`Pool`].
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) file: File,
    pub(super) comments: Vec<Comment>,
    /// Where elements stand that an error may be about, by path.
    pub(super) places: HashMap<Box<[i32]>, Pos>,
    /// The files whose names it may use, itself among them.
    visible: HashSet<u32>,
    /// Those that only its options may use.
    visible_to_options: HashSet<u32>,
    /// `features.default_symbol_visibility`, which is for sources only; 0 if it says nothing.
    default_visibility: u64,
}

/// Files that belong together, in an order in which each comes after those it imports.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) files: Vec<Linked>,
    by_name: HashMap<String, u32>,
    symbols: HashMap<Box<str>, Symbol>,
    /// By what is extended, and number.
    extensions: HashMap<(Box<str>, i32), Box<str>>,
}

/// Where texts come from: by the name that imports use.
pub(super) type Open<'o> = dyn FnMut(&str) -> Option<Vec<u8>> + 'o;

impl Pool {
    /// Adds a file and all it imports that is not there yet.
    pub(super) fn add(&mut self, name: &str, open: &mut Open<'_>) -> Result<(), Trouble> {
        // A stack of our own, since a chain of imports may be longer than that of a thread.
        let mut stack = match self.by_name.contains_key(name) {
            true => return Ok(()),
            false => vec![Pending::read(name, None, open)?],
        };
        while let Some(pending) = stack.last_mut() {
            let Some((import, pos)) = pending.imports.pop() else {
                let Some(done) = stack.pop() else { break };
                let (name, parsed) = (done.name.clone(), done.parsed);
                self.link(parsed).map_err(|fault| Trouble::Fault { file: name, fault })?;
                continue;
            };
            if self.by_name.contains_key(&import) {
                continue;
            }
            let importer = pending.name.clone();
            if stack.iter().any(|pending| pending.name == import) {
                let names = stack.iter().map(|pending| &pending.name[..]);
                let cycle: Vec<&str> = names.chain([&import[..]]).collect();
                let text = format!("files import each other: {}", cycle.join(" -> "));
                return Err(Trouble::Fault { file: importer, fault: Fault::new(pos, text) });
            }
            stack.push(Pending::read(&import, Some((importer, pos)), open)?);
        }
        Ok(())
    }

    fn link(&mut self, parsed: parser::Parsed) -> Result<(), Fault> {
        let parser::Parsed { file, notes } = parsed;
        let index = self.link_names(file, &notes)?;
        let options = interpret::all(self, index, &notes)?;
        self.write_options(index, options)?;
        check::after_options(self, index, &notes)?;
        if let Some(linked) = self.files.get_mut(index as usize) {
            (linked.comments, linked.places) = comments_and_places(notes);
        }
        Ok(())
    }

    fn file(&self, index: u32) -> Option<&File> {
        self.files.get(index as usize).map(|linked| &linked.file)
    }

    fn message_at(&self, file: u32, path: &[i32]) -> Option<&Message> {
        tag::message_at(self.file(file)?, path)
    }

    /// By its full name.
    fn message(&self, name: &str) -> Option<&Message> {
        let symbol = self.symbols.get(name).filter(|symbol| symbol.kind == link::Kind::Message)?;
        self.message_at(symbol.file, &symbol.path)
    }

    fn enumeration(&self, name: &str) -> Option<&Enum> {
        let symbol = self.symbols.get(name).filter(|symbol| symbol.kind == link::Kind::Enum)?;
        tag::enum_at(self.file(symbol.file)?, &symbol.path)
    }

    fn extension(&self, name: &str) -> Option<&Field> {
        let symbol =
            self.symbols.get(name).filter(|symbol| symbol.kind == link::Kind::Extension)?;
        tag::field_at(self.file(symbol.file)?, &symbol.path)
    }
}

/// What `google/protobuf/descriptor.proto` of today says, for runs in which nobody imports it.
fn builtin() -> &'static Pool {
    static BUILTIN: OnceLock<Pool> = OnceLock::new();
    BUILTIN.get_or_init(|| {
        let mut pool = Pool::default();
        let mut open = |name: &str| super::google::text(name).map(|text| text.as_bytes().to_vec());
        // The text is ours; a test reads it.
        drop(pool.add(DESCRIPTOR, &mut open));
        pool
    })
}

/// A file that waits for its imports.
struct Pending {
    name: String,
    parsed: parser::Parsed,
    /// Those to be looked at, the last first.
    imports: Vec<(String, Pos)>,
}

impl Pending {
    fn read(
        name: &str,
        importer: Option<(String, Pos)>,
        open: &mut Open<'_>,
    ) -> Result<Self, Trouble> {
        let Some(text) = open(name) else {
            return Err(Trouble::Missing { file: name.to_owned(), importer });
        };
        let fault = |fault| Trouble::Fault { file: name.to_owned(), fault };
        let parsed = parser::parse(name, &text).map_err(fault)?;
        let mut imports = Vec::new();
        for (tag, names) in [
            (tag::file::DEPENDENCY, &parsed.file.dependency),
            (tag::file::OPTION_DEPENDENCY, &parsed.file.option_dependency),
        ] {
            for (index, import) in names.iter().enumerate() {
                let pos = parsed
                    .notes
                    .get(&[tag, index as i32][..])
                    .map_or(Pos::default(), |note| note.name);
                if imports.iter().any(|(there, _)| there == import) {
                    return Err(fault(Fault::new(pos, format!("'{import}' is imported twice"))));
                }
                imports.push((import.clone(), pos));
            }
        }
        imports.reverse();
        Ok(Self { name: name.to_owned(), parsed, imports })
    }
}

fn comments_and_places(notes: Notes) -> (Vec<Comment>, HashMap<Box<[i32]>, Pos>) {
    let mut comments = Vec::new();
    let mut places = HashMap::with_capacity(notes.len());
    for (path, note) in notes {
        if note.leading.is_some() || note.trailing.is_some() || !note.detached.is_empty() {
            let (leading, trailing, detached) = (note.leading, note.trailing, note.detached);
            comments.push(Comment { path: path.clone(), leading, trailing, detached });
        }
        if note.name != Pos::default() {
            places.insert(path, note.name);
        }
    }
    comments.sort_by(|a, b| a.path.cmp(&b.path));
    (comments, places)
}

const DESCRIPTOR: &str = "google/protobuf/descriptor.proto";
