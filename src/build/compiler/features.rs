//! Features: what an edition says of an element, and what the element says instead.
//!
//! § "Feature Settings for Editions"; `google.protobuf.FeatureSet`.

use super::model::{self, Field, File};
use super::tree::{Leaf, Tree};
use crate::codegen::descriptor::Fields;

/// The features that matter for code, as their numbers in `FeatureSet`; 0 is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Features {
    pub(in super::super) presence: u64,
    pub(in super::super) enum_type: u64,
    pub(in super::super) repeated: u64,
    pub(in super::super) utf8: u64,
    pub(in super::super) encoding: u64,
    pub(in super::super) json: u64,
}

impl Features {
    pub(in super::super) const EXPLICIT: u64 = 1;
    pub(in super::super) const IMPLICIT: u64 = 2;
    pub(in super::super) const REQUIRED: u64 = 3;
    pub(in super::super) const OPEN: u64 = 1;
    pub(in super::super) const CLOSED: u64 = 2;
    pub(in super::super) const PACKED: u64 = 1;
    pub(in super::super) const EXPANDED: u64 = 2;
    pub(in super::super) const DELIMITED: u64 = 2;
    pub(in super::super) const ALLOW: u64 = 1;

    /// What holds where nothing is said.
    pub(in super::super) fn of_edition(edition: i32) -> Self {
        match edition {
            ..=model::PROTO2 => Self {
                presence: Self::EXPLICIT,
                enum_type: Self::CLOSED,
                repeated: Self::EXPANDED,
                utf8: 3,
                encoding: 1,
                json: 2,
            },
            model::PROTO3 => {
                Self { presence: Self::IMPLICIT, ..Self::of_edition(model::EDITION_2023) }
            }
            _ => Self {
                presence: Self::EXPLICIT,
                enum_type: Self::OPEN,
                repeated: Self::PACKED,
                utf8: 2,
                encoding: 1,
                json: Self::ALLOW,
            },
        }
    }

    /// With what an element's encoded options say; `number` is that of the field `features` in them.
    pub(in super::super) fn with(mut self, options: Option<&[u8]>, number: u64) -> Self {
        let sets = Fields(options.unwrap_or_default()).filter(|field| field.number == number);
        for field in sets.flat_map(|set| Fields(set.payload)) {
            let place = match field.number {
                1 => &mut self.presence,
                2 => &mut self.enum_type,
                3 => &mut self.repeated,
                4 => &mut self.utf8,
                5 => &mut self.encoding,
                6 => &mut self.json,
                _ => continue,
            };
            *place = field.value;
        }
        self
    }
}

// The field `features` of each options message.
pub(in super::super) const OF_FILE: u64 = 50;
pub(in super::super) const OF_MESSAGE: u64 = 12;
pub(in super::super) const OF_FIELD: u64 = 21;
pub(in super::super) const OF_ONEOF: u64 = 1;
pub(in super::super) const OF_ENUM: u64 = 7;

pub(in super::super) fn of_file(file: &File) -> Features {
    Features::of_edition(file.edition_number()).with(file.options.as_deref(), OF_FILE)
}

/// Whether a repeated field is packed, with the features of what has it.
pub(in super::super) fn is_packed(field: &Field, outer: Features) -> bool {
    let options = field.options.as_deref();
    let own =
        Fields(options.unwrap_or_default()).filter(|field| field.number == PACKED_OPTION).last();
    match own {
        Some(own) => own.value == 1,
        None => outer.with(options, OF_FIELD).repeated == Features::PACKED,
    }
}

const PACKED_OPTION: u64 = 2;

/// `features.default_symbol_visibility` of a file's options; 0 is not said.
pub(super) fn default_visibility(options: &Tree) -> u64 {
    let inner = |tree: &Tree, number| match tree.fields.get(&number)?.values.first()? {
        Leaf::Message(tree) => Some(Ok(tree.clone())),
        Leaf::Number(value) => Some(Err(*value)),
        Leaf::Octets(_) => None,
    };
    match inner(options, OF_FILE as u32) {
        Some(Ok(features)) => inner(&features, 8).and_then(Result::err).unwrap_or(0),
        _ => 0,
    }
}
