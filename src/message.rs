//! Messages of the library's own services, without prost's derive macro: that would bring syn and its like to every user.
//!
//! Owns the macro [`messages`], which makes a struct and its `prost::Message` of a list of numbered fields, and the kinds of fields
//! there are ([`Field`]). Ignores what the messages mean. Pure.
//!
//! § Protocol Buffers, "Encoding", and proto3: a field that has its type's default is not sent. Of unknown fields nothing is kept.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, bool as truth, bytes as octets, int32, int64, message, string,
};
use prost::{DecodeError, Message};

/// One field: to the wire, from the wire, and how long.
pub(crate) trait Field {
    fn put(&self, tag: u32, buf: &mut impl BufMut);

    fn merge(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError>;

    fn len(&self, tag: u32) -> usize;
}

/// A message that [`messages`] made: prost's own on `String` and numbers are of other kinds.
pub(crate) trait Own: Message + Default {}

/// Kinds of fields with one value, of which the default is not sent.
macro_rules! single {
    ($($type:ty, $module:ident;)+) => {
        $(
            impl Field for $type {
                fn put(&self, tag: u32, buf: &mut impl BufMut) {
                    if *self != <$type>::default() {
                        $module::encode(tag, self, buf);
                    }
                }

                fn merge(
                    &mut self,
                    wire_type: WireType,
                    buf: &mut impl Buf,
                    context: DecodeContext,
                ) -> Result<(), DecodeError> {
                    $module::merge(wire_type, self, buf, context)
                }

                fn len(&self, tag: u32) -> usize {
                    if *self == <$type>::default() { 0 } else { $module::encoded_len(tag, self) }
                }
            }
        )+
    };
}

single! {
    String, string;
    Bytes, octets;
    i32, int32;
    i64, int64;
    bool, truth;
}

/// Kinds of fields with many values.
macro_rules! repeated {
    ($($type:ty, $module:ident;)+) => {
        $(
            impl Field for Vec<$type> {
                fn put(&self, tag: u32, buf: &mut impl BufMut) {
                    $module::encode_repeated(tag, self, buf);
                }

                fn merge(
                    &mut self,
                    wire_type: WireType,
                    buf: &mut impl Buf,
                    context: DecodeContext,
                ) -> Result<(), DecodeError> {
                    $module::merge_repeated(wire_type, self, buf, context)
                }

                fn len(&self, tag: u32) -> usize {
                    $module::encoded_len_repeated(tag, self)
                }
            }
        )+
    };
}

repeated! {
    String, string;
    Bytes, octets;
}

/// One that tells nought from nothing.
impl Field for Option<i64> {
    fn put(&self, tag: u32, buf: &mut impl BufMut) {
        if let Some(value) = self {
            int64::encode(tag, value, buf);
        }
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        int64::merge(wire_type, self.get_or_insert_default(), buf, context)
    }

    fn len(&self, tag: u32) -> usize {
        self.as_ref().map_or(0, |value| int64::encoded_len(tag, value))
    }
}

/// Packed, as proto3 sends them; taken either way.
impl Field for Vec<i32> {
    fn put(&self, tag: u32, buf: &mut impl BufMut) {
        int32::encode_packed(tag, self, buf);
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        int32::merge_repeated(wire_type, self, buf, context)
    }

    fn len(&self, tag: u32) -> usize {
        int32::encoded_len_packed(tag, self)
    }
}

impl<M: Own> Field for Option<M> {
    fn put(&self, tag: u32, buf: &mut impl BufMut) {
        if let Some(value) = self {
            message::encode(tag, value, buf);
        }
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        message::merge(wire_type, self.get_or_insert_with(M::default), buf, context)
    }

    fn len(&self, tag: u32) -> usize {
        self.as_ref().map_or(0, |value| message::encoded_len(tag, value))
    }
}

impl<M: Own> Field for Vec<M> {
    fn put(&self, tag: u32, buf: &mut impl BufMut) {
        message::encode_repeated(tag, self, buf);
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        message::merge_repeated(wire_type, self, buf, context)
    }

    fn len(&self, tag: u32) -> usize {
        message::encoded_len_repeated(tag, self)
    }
}

impl Field for BTreeMap<String, String> {
    fn put(&self, tag: u32, buf: &mut impl BufMut) {
        use prost::encoding::btree_map::encode;
        encode(
            string::encode,
            string::encoded_len,
            string::encode,
            string::encoded_len,
            tag,
            self,
            buf,
        );
    }

    fn merge(
        &mut self,
        _wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        prost::encoding::btree_map::merge(string::merge, string::merge, self, buf, context)
    }

    fn len(&self, tag: u32) -> usize {
        prost::encoding::btree_map::encoded_len(string::encoded_len, string::encoded_len, tag, self)
    }
}

impl<M: Own + PartialEq> Field for BTreeMap<String, M> {
    fn put(&self, tag: u32, buf: &mut impl BufMut) {
        use prost::encoding::btree_map::encode;
        encode(
            string::encode,
            string::encoded_len,
            message::encode,
            message::encoded_len,
            tag,
            self,
            buf,
        );
    }

    fn merge(
        &mut self,
        _wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        prost::encoding::btree_map::merge(string::merge, message::merge, self, buf, context)
    }

    fn len(&self, tag: u32) -> usize {
        prost::encoding::btree_map::encoded_len(
            string::encoded_len,
            message::encoded_len,
            tag,
            self,
        )
    }
}

/// Makes structs of the kind `prost::Message`: each field has its number in front.
macro_rules! messages {
    ($(
        $(#[$docs:meta])*
        $seen:vis struct $name:ident {
            $($(#[$field_docs:meta])* $number:literal $field:ident: $type:ty,)*
        }
    )+) => {
        $(
            $(#[$docs])*
            #[derive(Clone, Debug, Default, PartialEq)]
            $seen struct $name {
                $($(#[$field_docs])* pub $field: $type,)*
            }

            impl $crate::message::Own for $name {}

            impl ::prost::Message for $name {
                #[allow(unused_variables, reason = "a message may have no fields")]
                fn encode_raw(&self, buf: &mut impl ::bytes::BufMut) {
                    $($crate::message::Field::put(&self.$field, $number, buf);)*
                }

                fn merge_field(
                    &mut self,
                    tag: u32,
                    wire_type: ::prost::encoding::WireType,
                    buf: &mut impl ::bytes::Buf,
                    context: ::prost::encoding::DecodeContext,
                ) -> Result<(), ::prost::DecodeError> {
                    match tag {
                        $($number => {
                            $crate::message::Field::merge(&mut self.$field, wire_type, buf, context)
                        })*
                        _ => ::prost::encoding::skip_field(wire_type, tag, buf, context),
                    }
                }

                fn encoded_len(&self) -> usize {
                    0 $(+ $crate::message::Field::len(&self.$field, $number))*
                }

                fn clear(&mut self) {
                    *self = Self::default();
                }
            }
        )+
    };
}
pub(crate) use messages;

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    messages! {
        struct Inner {
            1 number: i32,
        }

        /// Every kind of field.
        struct Outer {
            1 text: String,
            2 octets: Bytes,
            3 number: i32,
            4 long: i64,
            5 texts: Vec<String>,
            6 pieces: Vec<Bytes>,
            7 numbers: Vec<i32>,
            8 one: Option<Inner>,
            9 many: Vec<Inner>,
            10 words: BTreeMap<String, String>,
            11 named: BTreeMap<String, Inner>,
            12 told: Option<i64>,
            13 flag: bool,
        }
    }

    /// The same by the derive macro.
    #[derive(Clone, PartialEq, Message)]
    struct DerivedInner {
        #[prost(int32, tag = "1")]
        number: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Derived {
        #[prost(string, tag = "1")]
        text: String,
        #[prost(bytes = "bytes", tag = "2")]
        octets: Bytes,
        #[prost(int32, tag = "3")]
        number: i32,
        #[prost(int64, tag = "4")]
        long: i64,
        #[prost(string, repeated, tag = "5")]
        texts: Vec<String>,
        #[prost(bytes = "bytes", repeated, tag = "6")]
        pieces: Vec<Bytes>,
        #[prost(int32, repeated, tag = "7")]
        numbers: Vec<i32>,
        #[prost(message, optional, tag = "8")]
        one: Option<DerivedInner>,
        #[prost(message, repeated, tag = "9")]
        many: Vec<DerivedInner>,
        #[prost(btree_map = "string, string", tag = "10")]
        words: BTreeMap<String, String>,
        #[prost(btree_map = "string, message", tag = "11")]
        named: BTreeMap<String, DerivedInner>,
        #[prost(int64, optional, tag = "12")]
        told: Option<i64>,
        #[prost(bool, tag = "13")]
        flag: bool,
    }

    fn full() -> Outer {
        Outer {
            text: "text".into(),
            octets: Bytes::from_static(b"\0\xff"),
            number: -1,
            long: i64::MIN,
            texts: vec!["a".into(), String::new()],
            pieces: vec![Bytes::new(), Bytes::from_static(b"b")],
            numbers: vec![1, -2, 300],
            one: Some(Inner { number: 0 }),
            many: vec![Inner { number: 0 }, Inner { number: 7 }],
            words: BTreeMap::from([("k".into(), "v".into()), ("".into(), "".into())]),
            named: BTreeMap::from([
                ("n".into(), Inner { number: 3 }),
                ("".into(), Inner::default()),
            ]),
            told: Some(0),
            flag: true,
        }
    }

    #[test]
    fn every_kind_of_field_is_as_the_derive_macro_has_it() {
        for message in [full(), Outer::default()] {
            let octets = message.encode_to_vec();
            assert_eq!(octets.len(), message.encoded_len());
            let derived = Derived::decode(&octets[..]).unwrap();
            assert_eq!(derived.encode_to_vec(), octets);
            assert_eq!(Outer::decode(&octets[..]).unwrap(), message);
        }
        let mut message = full();
        message.clear();
        assert_eq!(message, Outer::default());
    }

    #[test]
    fn unknown_fields_are_passed_over_and_wrong_ones_are_errors() {
        let mut octets = full().encode_to_vec();
        octets.extend_from_slice(b"\xa0\x06\x07"); // 100: 7
        assert_eq!(Outer::decode(&octets[..]).unwrap(), full());
        for wrong in [&b"\x0a\x05ab"[..], b"\x0a\x01\xff", b"\x08\x01", b"\x42\x02\x08"] {
            assert!(Outer::decode(wrong).is_err(), "{wrong:?}");
        }
        // Numbers that are not packed.
        assert_eq!(Outer::decode(&b"\x38\x01\x38\x02"[..]).unwrap().numbers, [1, 2]);
    }
}
