//! What a text says beside the descriptor that it becomes: positions, comments, and options before they are
//! understood.

use std::collections::HashMap;

use super::Pos;
use super::lexer::{Kind, Token};

/// By path, as in `SourceCodeInfo.Location`.
pub(super) type Notes = HashMap<Box<[i32]>, Note>;

#[derive(Debug, Default)]
pub(super) struct Note {
    /// Where the name stands.
    pub(super) name: Pos,
    /// Where the type does; of a method, the request's.
    pub(super) kind: Pos,
    /// Of a method, the response's; of an extension, what it extends.
    pub(super) other_kind: Pos,
    pub(super) options: Vec<RawOption>,
    /// There were braces or brackets for options, though perhaps nothing in them.
    pub(super) has_options: bool,
    pub(super) leading: Option<String>,
    pub(super) trailing: Option<String>,
    pub(super) detached: Vec<String>,
}

/// `(name).of.it = value`.
#[derive(Clone, Debug)]
pub(super) struct RawOption {
    pub(super) name: Vec<Part>,
    pub(super) value: RawValue,
    pub(super) pos: Pos,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) is_extension: bool,
}

#[derive(Clone, Debug)]
pub(super) enum RawValue {
    Word(String),
    Int(u64),
    /// `-1` is 1 here.
    Negative(u64),
    Float(f64),
    Text(Vec<u8>),
    /// What stands between braces, in the text format.
    Braces(Vec<Token>),
}

impl RawOption {
    pub(super) fn is_of_features(&self) -> bool {
        self.name.first().is_some_and(|part| !part.is_extension && part.name == "features")
    }

    /// Whether it makes a message a `MessageSet`.
    pub(super) fn is_message_set(&self) -> bool {
        let is_it = matches!(&self.name[..], [part] if !part.is_extension && part.name == "message_set_wire_format");
        is_it && matches!(&self.value, RawValue::Word(word) if word == "true")
    }
}

impl RawValue {
    /// As an error quotes it.
    pub(super) fn quote(&self) -> String {
        match self {
            Self::Word(word) => format!("'{word}'"),
            Self::Int(value) => format!("'{value}'"),
            Self::Negative(value) => format!("'-{value}'"),
            Self::Float(value) => format!("'{value}'"),
            Self::Text(_) => "a string".to_owned(),
            Self::Braces(_) => "a message in braces".to_owned(),
        }
    }
}

/// A token as an option's value.
pub(super) fn value_of(kind: Kind) -> Option<RawValue> {
    Some(match kind {
        Kind::Word(word) => RawValue::Word(word),
        Kind::Int(value) => RawValue::Int(value),
        Kind::Float(value) => RawValue::Float(value),
        Kind::Text(text) => RawValue::Text(text),
        Kind::Symbol(_) | Kind::End => return None,
    })
}
