//! Descriptors as bytes: cut, put together, and written as a literal.
//!
//! Works on the encoded form, so that options nobody here knows (extensions such as
//! `google.api.http`) are kept for those who ask a server by reflection.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// One encoded `FileDescriptorProto`, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<String>,
    pub(crate) package: String,
    pub(crate) has_services: bool,
    /// Without comments and positions.
    pub(crate) encoded: Vec<u8>,
}

impl File {
    /// Reads an encoded `FileDescriptorProto`; leaves its comments and positions out. Bytes that are none
    /// give what could be read.
    pub(crate) fn read(encoded: &[u8]) -> Self {
        let mut file = Self::default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for field in Fields(encoded) {
            match field.number {
                NAME => file.name = text(field.payload),
                PACKAGE => file.package = text(field.payload),
                DEPENDENCY | OPTION_DEPENDENCY => file.dependencies.push(text(field.payload)),
                SERVICE => file.has_services = true,
                _ => {}
            }
            if field.number != SOURCE_CODE_INFO {
                file.encoded.extend_from_slice(field.whole);
            }
        }
        file
    }
}

/// Files, by name and by package.
#[derive(Debug)]
pub(crate) struct Index<'f> {
    files: &'f [File],
    by_name: HashMap<&'f str, usize>,
    /// Those with services.
    by_package: HashMap<&'f str, Vec<usize>>,
}

impl<'f> Index<'f> {
    pub(crate) fn of(files: &'f [File]) -> Self {
        let mut index = Self { files, by_name: HashMap::new(), by_package: HashMap::new() };
        for (at, file) in files.iter().enumerate() {
            index.by_name.insert(&file.name, at);
            if file.has_services {
                index.by_package.entry(&file.package).or_default().push(at);
            }
        }
        index
    }

    /// The files of `package` that have services, with all they import, as an encoded
    /// `FileDescriptorSet`. Files come after those they import if they do among all.
    pub(crate) fn set_of_package(&self, package: &str) -> Vec<u8> {
        let mut wanted: HashSet<usize> = HashSet::new();
        let mut open = self.by_package.get(package).cloned().unwrap_or_default();
        while let Some(at) = open.pop() {
            if let (true, Some(file)) = (wanted.insert(at), self.files.get(at)) {
                open.extend(
                    file.dependencies.iter().filter_map(|name| self.by_name.get(&name[..])),
                );
            }
        }
        let mut wanted: Vec<usize> = wanted.into_iter().collect();
        wanted.sort_unstable();
        set(wanted.into_iter().filter_map(|at| self.files.get(at)))
    }
}

/// An encoded `FileDescriptorSet`.
pub(crate) fn set<'a>(files: impl IntoIterator<Item = &'a File>) -> Vec<u8> {
    let mut out = Vec::new();
    for file in files {
        put_bytes(1, &file.encoded, &mut out);
    }
    out
}

/// A field that holds bytes, text or a message.
pub(crate) fn put_bytes(number: u32, payload: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | 2, out);
    put_varint(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

/// A field that holds a number.
pub(crate) fn put_number(number: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3, out);
    put_varint(value, out);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The bytes as a Rust byte string over several lines, each after `indent`.
pub(crate) fn literal(bytes: &[u8], indent: &str) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    out.push_str("b\"\\\n");
    out.push_str(indent);
    let mut column = 0;
    for &byte in bytes {
        let before = out.len();
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            // At the start of a line the compiler would leave the space out.
            b' ' if column == 0 => out.push_str("\\x20"),
            b' '..=b'~' => out.push(char::from(byte)),
            b'\n' => out.push_str("\\n"),
            0 => out.push_str("\\0"),
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
        column += out.len() - before;
        if column >= LITERAL_COLUMNS {
            out.push_str("\\\n");
            out.push_str(indent);
            column = 0;
        }
    }
    out.push('"');
    out
}

/// The top-level fields of an encoded message, up to the first that is broken.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    /// What a field of bytes holds; empty for numbers.
    pub(crate) payload: &'a [u8],
    /// What a field of a number of variable length holds; else 0.
    pub(crate) value: u64,
    /// With its key.
    whole: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.0;
        let mut rest = start;
        let key = varint(&mut rest)?;
        let mut value = 0;
        let payload = match key & 7 {
            0 => {
                value = varint(&mut rest)?;
                &[][..]
            }
            1 => cut(&mut rest, 8)?,
            2 => {
                let len = usize::try_from(varint(&mut rest)?).ok()?;
                cut(&mut rest, len)?
            }
            5 => cut(&mut rest, 4)?,
            _ => return None,
        };
        self.0 = rest;
        let whole = start.get(..start.len() - rest.len())?;
        Some(Field { number: key >> 3, payload, value, whole })
    }
}

fn cut<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

// Fields of `FileDescriptorProto`.
const NAME: u64 = 1;
const PACKAGE: u64 = 2;
const DEPENDENCY: u64 = 3;
const SERVICE: u64 = 6;
const OPTION_DEPENDENCY: u64 = 15;
const SOURCE_CODE_INFO: u64 = 9;

/// A line is broken after this many characters.
const LITERAL_COLUMNS: usize = 88;

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

    use super::*;

    fn file(name: &str, dependencies: &[&str], services: usize) -> File {
        File::read(
            &FileDescriptorProto {
                name: Some(name.to_owned()),
                package: Some("p".to_owned()),
                dependency: dependencies.iter().map(|&name| name.to_owned()).collect(),
                service: vec![ServiceDescriptorProto::default(); services],
                source_code_info: Some(prost_types::SourceCodeInfo::default()),
                syntax: Some("proto3".to_owned()),
                ..Default::default()
            }
            .encode_to_vec(),
        )
    }

    #[test]
    fn a_package_has_its_services_and_what_they_import() {
        let files = [
            file("far.proto", &[], 0),
            file("near.proto", &["far.proto"], 0),
            file("other.proto", &[], 0),
            file("main.proto", &["near.proto"], 1),
        ];
        let set = FileDescriptorSet::decode(&Index::of(&files).set_of_package("p")[..]).unwrap();
        let names: Vec<_> = set.file.iter().map(FileDescriptorProto::name).collect();
        assert_eq!(names, ["far.proto", "near.proto", "main.proto"]);
        assert_eq!(set.file[2].syntax(), "proto3");
        assert_eq!(set.file[2].source_code_info, None);
        assert!(Index::of(&files).set_of_package("q").is_empty());
    }

    #[test]
    fn broken_bytes_end_the_fields() {
        for bytes in [
            &b"\x0a\x05ab"[..],
            b"\x0a",
            b"\xff",
            b"\x0b",
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        ] {
            assert_eq!(Fields(bytes).count(), 0);
        }
    }

    #[test]
    fn literals_have_escapes_and_short_lines() {
        assert_eq!(literal(b"a\"\\\n\0\x7f b", ""), "b\"\\\na\\\"\\\\\\n\\0\\x7f b\"");
        let long = literal(&[b' '; 100], "  ");
        assert_eq!(
            long,
            format!("b\"\\\n  \\x20{}\\\n  \\x20{}\"", " ".repeat(84), " ".repeat(14))
        );
    }
}
