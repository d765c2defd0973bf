//! Numbers of fields of descriptors, and elements by their path: `[4, 3, 2, 7]` is the field 7 of the message 3.

use super::model::{Enum, Field, File, Message};

pub(crate) mod file {
    pub(crate) const PACKAGE: i32 = 2;
    pub(crate) const DEPENDENCY: i32 = 3;
    pub(crate) const MESSAGE: i32 = 4;
    pub(crate) const ENUM: i32 = 5;
    pub(crate) const SERVICE: i32 = 6;
    pub(crate) const EXTENSION: i32 = 7;
    pub(crate) const OPTION_DEPENDENCY: i32 = 15;
}

pub(crate) mod message {
    pub(crate) const FIELD: i32 = 2;
    pub(crate) const MESSAGE: i32 = 3;
    pub(crate) const ENUM: i32 = 4;
    pub(crate) const EXTENSION_RANGE: i32 = 5;
    pub(crate) const EXTENSION: i32 = 6;
    pub(crate) const ONEOF: i32 = 8;
}

pub(crate) mod enumeration {
    pub(crate) const VALUE: i32 = 2;
}

pub(crate) mod service {
    pub(crate) const METHOD: i32 = 2;
}

/// The highest number of a field.
pub(super) const MAX_NUMBER: i32 = 536_870_911;
/// `max`, until it is known what that is.
pub(super) const MAX: i32 = -1;

// `SymbolVisibility`.
pub(super) const LOCAL: i32 = 1;
pub(super) const EXPORT: i32 = 2;

/// `map_entry = true`, encoded.
pub(super) const MAP_ENTRY_OPTION: [u8; 2] = [0x38, 1];

fn at<T>(list: &[T], index: i32) -> Option<&T> {
    list.get(usize::try_from(index).ok()?)
}

pub(super) fn message_at<'f>(in_file: &'f File, path: &[i32]) -> Option<&'f Message> {
    let (&[tag, index], mut rest) = path.split_first_chunk::<2>()?;
    let mut found = at(&in_file.message_type, index).filter(|_| tag == file::MESSAGE)?;
    while let Some((&[tag, index], after)) = rest.split_first_chunk::<2>() {
        found = at(&found.nested_type, index).filter(|_| tag == message::MESSAGE)?;
        rest = after;
    }
    Some(found)
}

/// The message that has what the path names, and the path's end.
fn parent_at<'f>(file: &'f File, path: &[i32]) -> Option<(&'f Message, [i32; 2])> {
    let (parent, &end) = path.split_last_chunk::<2>()?;
    Some((message_at(file, parent)?, end))
}

pub(super) fn enum_at<'f>(in_file: &'f File, path: &[i32]) -> Option<&'f Enum> {
    match *path {
        [file::ENUM, index] => at(&in_file.enum_type, index),
        _ => parent_at(in_file, path).and_then(|(parent, [_, index])| at(&parent.enum_type, index)),
    }
}

/// A field or an extension.
pub(super) fn field_at<'f>(in_file: &'f File, path: &[i32]) -> Option<&'f Field> {
    match *path {
        [file::EXTENSION, index] => at(&in_file.extension, index),
        _ => match parent_at(in_file, path)? {
            (parent, [message::FIELD, index]) => at(&parent.field, index),
            (parent, [message::EXTENSION, index]) => at(&parent.extension, index),
            _ => None,
        },
    }
}
