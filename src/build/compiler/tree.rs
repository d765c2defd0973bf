//! A message whose type is known at run time only: what options are while they are put together.

use std::collections::BTreeMap;

use prost::encoding::{WireType, encode_varint};

use super::model::{self, Field, Message};

/// By number, as protoc writes fields.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) fields: BTreeMap<u32, Branch>,
    /// Whether it goes on the wire as a `MessageSet` does.
    pub(super) is_message_set: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) kind: i32,
    pub(super) packed: bool,
    pub(super) repeated: bool,
    /// Of messages and groups: the full name of the type.
    pub(super) type_name: String,
    pub(super) values: Vec<Leaf>,
}

#[derive(Clone, Debug)]
pub(super) enum Leaf {
    /// As it goes on the wire: of `sint32` in zigzag.
    Number(u64),
    Octets(Vec<u8>),
    Message(Tree),
}

impl Tree {
    /// Of a message that is known.
    pub(super) fn of(message: Option<&Message>) -> Self {
        let is_message_set = message.is_some_and(Message::is_message_set);
        Self { is_message_set, ..Self::default() }
    }

    /// The place of a field's values.
    pub(super) fn branch(&mut self, field: &Field, packed: bool) -> &mut Branch {
        self.fields.entry(field.number() as u32).or_insert_with(|| Branch {
            kind: field.r#type(),
            packed: packed && field.is_repeated() && model::can_pack(field.r#type()),
            repeated: field.is_repeated(),
            type_name: field.type_name().trim_start_matches('.').to_owned(),
            values: Vec::new(),
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (&number, branch) in &self.fields {
            match self.is_message_set {
                true => branch.encode_item(number, &mut out),
                false => branch.encode(number, &mut out),
            }
        }
        out
    }
}

impl Branch {
    fn encode(&self, number: u32, out: &mut Vec<u8>) {
        let wire = wire_type(self.kind);
        if self.packed {
            let mut packed = Vec::new();
            self.values.iter().for_each(|value| self.put(value, number, &mut packed));
            encode_key(number, WireType::LengthDelimited, out);
            encode_varint(packed.len() as u64, out);
            out.append(&mut packed);
            return;
        }
        for value in &self.values {
            encode_key(number, wire, out);
            self.put(value, number, out);
        }
    }

    /// As an item of a `MessageSet`: `repeated group Item = 1 { int32 type_id = 2; bytes message = 3; }`.
    fn encode_item(&self, number: u32, out: &mut Vec<u8>) {
        for value in &self.values {
            let Leaf::Message(tree) = value else { continue };
            encode_key(1, WireType::StartGroup, out);
            encode_key(2, WireType::Varint, out);
            encode_varint(u64::from(number), out);
            encode_key(3, WireType::LengthDelimited, out);
            put_octets(&tree.encode(), out);
            encode_key(1, WireType::EndGroup, out);
        }
    }

    fn put(&self, value: &Leaf, number: u32, out: &mut Vec<u8>) {
        match value {
            Leaf::Number(value) => match wire_type(self.kind) {
                WireType::ThirtyTwoBit => out.extend_from_slice(&(*value as u32).to_le_bytes()),
                WireType::SixtyFourBit => out.extend_from_slice(&value.to_le_bytes()),
                _ => encode_varint(*value, out),
            },
            Leaf::Octets(octets) => put_octets(octets, out),
            Leaf::Message(tree) if self.kind == model::GROUP => {
                out.append(&mut tree.encode());
                encode_key(number, WireType::EndGroup, out);
            }
            Leaf::Message(tree) => put_octets(&tree.encode(), out),
        }
    }
}

/// For any number: extensions of a `MessageSet` have some that are no tags elsewhere.
fn encode_key(number: u32, wire: WireType, out: &mut Vec<u8>) {
    encode_varint(u64::from(number) << 3 | wire as u64, out);
}

fn put_octets(octets: &[u8], out: &mut Vec<u8>) {
    encode_varint(octets.len() as u64, out);
    out.extend_from_slice(octets);
}

fn wire_type(kind: i32) -> WireType {
    match kind {
        model::DOUBLE | model::FIXED64 | model::SFIXED64 => WireType::SixtyFourBit,
        model::FLOAT | model::FIXED32 | model::SFIXED32 => WireType::ThirtyTwoBit,
        model::STRING | model::BYTES | model::MESSAGE => WireType::LengthDelimited,
        model::GROUP => WireType::StartGroup,
        _ => WireType::Varint,
    }
}
