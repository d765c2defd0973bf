//! What descriptor sets hold, and where: [`Files`].
//!
//! A file is kept as it came, octet by octet, and so is handed out with all that is in it, custom options and editions, too. Of what
//! it declares only the names are read.
//!
//! § `google/protobuf/descriptor.proto`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, skip_field};

use crate::message::messages;

messages! {
    struct Set {
        1 file: Vec<Bytes>,
    }

    struct FileDescriptor {
        1 name: String,
        2 package: String,
        3 dependency: Vec<String>,
        4 message_type: Vec<Descriptor>,
        5 enum_type: Vec<EnumDescriptor>,
        6 service: Vec<ServiceDescriptor>,
        7 extension: Vec<FieldDescriptor>,
    }

    struct Descriptor {
        1 name: String,
        2 field: Vec<FieldDescriptor>,
        3 nested_type: Vec<Descriptor>,
        4 enum_type: Vec<EnumDescriptor>,
        6 extension: Vec<FieldDescriptor>,
        8 oneof_decl: Vec<Named>,
    }

    struct FieldDescriptor {
        1 name: String,
        2 extendee: String,
        3 number: i32,
    }

    struct EnumDescriptor {
        1 name: String,
        2 value: Vec<Named>,
    }

    struct ServiceDescriptor {
        1 name: String,
        2 method: Vec<Named>,
    }

    struct Named {
        1 name: String,
    }
}

/// The files of some descriptor sets.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<File>,
    by_name: HashMap<String, usize>,
    /// Every full name that is declared, and in which file.
    symbols: HashMap<String, usize>,
    messages: BTreeSet<String>,
    services: BTreeSet<String>,
    /// By the message that is extended, and the number.
    extensions: HashMap<String, BTreeMap<i32, usize>>,
}

#[derive(Debug)]
struct File {
    octets: Bytes,
    imports: Vec<String>,
}

impl Files {
    /// Adds the files of an encoded `FileDescriptorSet`. A file that is there already is passed over.
    ///
    /// # Errors
    /// In words: it is no such set, or a file is there already with something else in it. Nothing was added then.
    pub(super) fn add(&mut self, set: &[u8]) -> Result<(), String> {
        let set = Set::decode(Bytes::copy_from_slice(set))
            .map_err(|error| format!("the bytes are no FileDescriptorSet: {error}"))?;
        let mut new: Vec<(FileDescriptor, Bytes)> = Vec::new();
        for octets in set.file {
            let file = FileDescriptor::decode(octets.clone())
                .map_err(|error| format!("a file of the set is no FileDescriptorProto: {error}"))?;
            if file.name.is_empty() {
                return Err("a file of the set has no name: is it a FileDescriptorSet?".into());
            }
            let known = self.by_name.get(&file.name).map(|at| &self.files[*at].octets);
            let known = known.or_else(|| {
                new.iter().find(|(other, _)| other.name == file.name).map(|(_, octets)| octets)
            });
            match known {
                Some(known) if essence(known) == essence(&octets) => {}
                Some(_) => {
                    return Err(format!(
                        "{:?} is in two sets, and is not the same in both",
                        file.name
                    ));
                }
                None => new.push((file, octets)),
            }
        }
        for (file, octets) in new {
            self.enter(file, octets);
        }
        Ok(())
    }

    /// What a file imports that no set has: the file, and the import.
    pub(super) fn missing(&self) -> Option<(&str, &str)> {
        self.by_name.iter().find_map(|(name, at)| {
            let imports = &self.files.get(*at)?.imports;
            let missing = imports.iter().find(|import| !self.by_name.contains_key(*import))?;
            Some((name.as_str(), missing.as_str()))
        })
    }

    fn enter(&mut self, file: FileDescriptor, octets: Bytes) {
        let at = self.files.len();
        let mut scan = Scan { files: self, at };
        let package = file.package.as_str();
        file.message_type.iter().for_each(|message| scan.message(package, message));
        file.enum_type.iter().for_each(|declared| scan.enumeration(package, declared));
        file.extension.iter().for_each(|extension| scan.extension(package, extension));
        for service in &file.service {
            let name = scan.symbol(package, &service.name);
            service.method.iter().for_each(|method| drop(scan.symbol(&name, &method.name)));
            scan.files.services.insert(name);
        }
        self.by_name.insert(file.name, at);
        self.files.push(File { octets, imports: file.dependency });
    }

    /// The full names of all services, in order.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// A file and all that it imports, itself first.
    pub(super) fn by_name(&self, name: &str) -> Option<Vec<Bytes>> {
        self.by_name.get(name).map(|at| self.with_imports(*at))
    }

    /// The file that declares this.
    pub(super) fn by_symbol(&self, symbol: &str) -> Option<Vec<Bytes>> {
        self.symbols.get(symbol).map(|at| self.with_imports(*at))
    }

    pub(super) fn by_extension(&self, message: &str, number: i32) -> Option<Vec<Bytes>> {
        let at = self.extensions.get(message)?.get(&number)?;
        Some(self.with_imports(*at))
    }

    /// In order. `None`: there is no such message.
    pub(super) fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        let numbers = self.extensions.get(message).map(|numbers| numbers.keys().copied().collect());
        numbers.or_else(|| self.messages.contains(message).then(Vec::new))
    }

    fn with_imports(&self, first: usize) -> Vec<Bytes> {
        let (mut found, mut next) = (vec![first], 0);
        while let Some(file) = found.get(next).and_then(|at| self.files.get(*at)) {
            next += 1;
            for at in file.imports.iter().filter_map(|import| self.by_name.get(import)) {
                if !found.contains(at) {
                    found.push(*at);
                }
            }
        }
        found.iter().filter_map(|at| self.files.get(*at)).map(|file| file.octets.clone()).collect()
    }
}

/// An encoded `FileDescriptorSet` of these files.
pub(super) fn set_of(files: Vec<Bytes>) -> Vec<u8> {
    Set { file: files }.encode_to_vec()
}

/// A file's name, and those of what it imports. `None`: it is no file.
pub(super) fn head(octets: &Bytes) -> Option<(String, Vec<String>)> {
    let file = FileDescriptor::decode(octets.clone()).ok()?;
    Some((file.name, file.dependency))
}

/// One file's names.
struct Scan<'a> {
    files: &'a mut Files,
    at: usize,
}

impl Scan<'_> {
    fn symbol(&mut self, scope: &str, name: &str) -> String {
        let full = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.files.symbols.entry(full.clone()).or_insert(self.at);
        full
    }

    /// As deep as prost reads, which is a hundred.
    fn message(&mut self, scope: &str, message: &Descriptor) {
        let name = self.symbol(scope, &message.name);
        message.field.iter().for_each(|field| drop(self.symbol(&name, &field.name)));
        message.oneof_decl.iter().for_each(|oneof| drop(self.symbol(&name, &oneof.name)));
        message.enum_type.iter().for_each(|declared| self.enumeration(&name, declared));
        message.extension.iter().for_each(|extension| self.extension(&name, extension));
        message.nested_type.iter().for_each(|nested| self.message(&name, nested));
        self.files.messages.insert(name);
    }

    /// Its values are its siblings.
    fn enumeration(&mut self, scope: &str, declared: &EnumDescriptor) {
        self.symbol(scope, &declared.name);
        declared.value.iter().for_each(|value| drop(self.symbol(scope, &value.name)));
    }

    fn extension(&mut self, scope: &str, extension: &FieldDescriptor) {
        self.symbol(scope, &extension.name);
        let extended = extension.extendee.trim_start_matches('.').to_owned();
        self.files
            .extensions
            .entry(extended)
            .or_default()
            .entry(extension.number)
            .or_insert(self.at);
    }
}

/// A file without its comments and positions (`source_code_info`), which one set has and another has not.
fn essence(octets: &Bytes) -> Vec<u8> {
    const SOURCE_CODE_INFO: u32 = 9;
    let (mut rest, mut kept) = (octets.clone(), Vec::with_capacity(octets.len()));
    while rest.has_remaining() {
        let before = rest.clone();
        let Ok((tag, wire_type)) = decode_key(&mut rest) else { return octets.to_vec() };
        let head = before.len() - rest.len();
        let mut skipped = rest.clone();
        if skip_field(wire_type, tag, &mut skipped, DecodeContext::default()).is_err() {
            return octets.to_vec();
        }
        if (tag, wire_type) != (SOURCE_CODE_INFO, WireType::LengthDelimited) {
            encode_key(tag, wire_type, &mut kept);
            kept.extend_from_slice(&before[head..before.len() - skipped.len()]);
        }
        rest = skipped;
    }
    kept
}
