//! Descriptors as protoc writes them today, options as octets: what `google/protobuf/descriptor.proto` describes.
//!
//! Written out since those of `prost-types` know no editions. Options stay encoded, so that extensions of them are kept.

use prost::Message as _;

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, ::prost::Message)]
        pub(crate) struct $name { $($(#[$attribute])* pub(crate) $field: $type,)* }
    };
}

message!(File {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    package: Option<String>,
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<Message>,
    #[prost(message, repeated, tag = "5")]
    enum_type: Vec<Enum>,
    #[prost(message, repeated, tag = "6")]
    service: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    extension: Vec<Field>,
    #[prost(bytes = "vec", optional, tag = "8")]
    options: Option<Vec<u8>>,
    #[prost(int32, repeated, packed = "false", tag = "10")]
    public_dependency: Vec<i32>,
    #[prost(int32, repeated, packed = "false", tag = "11")]
    weak_dependency: Vec<i32>,
    #[prost(string, optional, tag = "12")]
    syntax: Option<String>,
    #[prost(int32, optional, tag = "14")]
    edition: Option<i32>,
    #[prost(string, repeated, tag = "15")]
    option_dependency: Vec<String>,
});

message!(Message {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    field: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<Message>,
    #[prost(message, repeated, tag = "4")]
    enum_type: Vec<Enum>,
    #[prost(message, repeated, tag = "5")]
    extension_range: Vec<Range>,
    #[prost(message, repeated, tag = "6")]
    extension: Vec<Field>,
    #[prost(bytes = "vec", optional, tag = "7")]
    options: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "8")]
    oneof_decl: Vec<Oneof>,
    #[prost(message, repeated, tag = "9")]
    reserved_range: Vec<Range>,
    #[prost(string, repeated, tag = "10")]
    reserved_name: Vec<String>,
    #[prost(int32, optional, tag = "11")]
    visibility: Option<i32>,
});

message!(
    /// Of numbers: those of messages end before `end`, those of enums with it.
    Range {
        #[prost(int32, optional, tag = "1")]
        start: Option<i32>,
        #[prost(int32, optional, tag = "2")]
        end: Option<i32>,
        #[prost(bytes = "vec", optional, tag = "3")]
        options: Option<Vec<u8>>,
    }
);

message!(Field {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    extendee: Option<String>,
    #[prost(int32, optional, tag = "3")]
    number: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    label: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    r#type: Option<i32>,
    #[prost(string, optional, tag = "6")]
    type_name: Option<String>,
    #[prost(string, optional, tag = "7")]
    default_value: Option<String>,
    #[prost(bytes = "vec", optional, tag = "8")]
    options: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "9")]
    oneof_index: Option<i32>,
    #[prost(string, optional, tag = "10")]
    json_name: Option<String>,
    #[prost(bool, optional, tag = "17")]
    proto3_optional: Option<bool>,
});

message!(Oneof {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    options: Option<Vec<u8>>,
});

message!(Enum {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    value: Vec<Value>,
    #[prost(bytes = "vec", optional, tag = "3")]
    options: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    reserved_range: Vec<Range>,
    #[prost(string, repeated, tag = "5")]
    reserved_name: Vec<String>,
    #[prost(int32, optional, tag = "6")]
    visibility: Option<i32>,
});

message!(
    /// Of an enum.
    Value {
        #[prost(string, optional, tag = "1")]
        name: Option<String>,
        #[prost(int32, optional, tag = "2")]
        number: Option<i32>,
        #[prost(bytes = "vec", optional, tag = "3")]
        options: Option<Vec<u8>>,
    }
);

message!(Service {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    method: Vec<Method>,
    #[prost(bytes = "vec", optional, tag = "3")]
    options: Option<Vec<u8>>,
});

message!(Method {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    input_type: Option<String>,
    #[prost(string, optional, tag = "3")]
    output_type: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    options: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "5")]
    client_streaming: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    server_streaming: Option<bool>,
});

impl File {
    pub(crate) fn edition_number(&self) -> i32 {
        match self.syntax() {
            "proto3" => PROTO3,
            "editions" => self.edition(),
            _ => PROTO2,
        }
    }

    pub(crate) fn is_editions(&self) -> bool {
        self.syntax() == "editions"
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

impl Field {
    pub(crate) fn is_repeated(&self) -> bool {
        self.label() == REPEATED
    }

    /// Whether it refers to a message; a group is one.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.r#type(), MESSAGE | GROUP)
    }
}

impl Message {
    /// Whether it is what a `map<..>` field's entries are.
    pub(crate) fn is_map_entry(&self) -> bool {
        const MAP_ENTRY: u64 = 7;
        self.says(MAP_ENTRY)
    }

    /// Whether it holds extensions only, on the wire as they were before there were any.
    pub(crate) fn is_message_set(&self) -> bool {
        const MESSAGE_SET: u64 = 1;
        self.says(MESSAGE_SET)
    }

    fn says(&self, option: u64) -> bool {
        self.options.as_deref().is_some_and(|options| {
            crate::codegen::descriptor::Fields(options)
                .any(|field| field.number == option && field.value == 1)
        })
    }
}

pub(crate) const PROTO2: i32 = 998;
pub(crate) const PROTO3: i32 = 999;
pub(crate) const EDITION_2023: i32 = 1000;
pub(crate) const EDITION_2024: i32 = 1001;

// Labels.
pub(crate) const OPTIONAL: i32 = 1;
pub(crate) const REQUIRED: i32 = 2;
pub(crate) const REPEATED: i32 = 3;

// Types of fields.
pub(crate) const DOUBLE: i32 = 1;
pub(crate) const FLOAT: i32 = 2;
pub(crate) const INT64: i32 = 3;
pub(crate) const UINT64: i32 = 4;
pub(crate) const INT32: i32 = 5;
pub(crate) const FIXED64: i32 = 6;
pub(crate) const FIXED32: i32 = 7;
pub(crate) const BOOL: i32 = 8;
pub(crate) const STRING: i32 = 9;
pub(crate) const GROUP: i32 = 10;
pub(crate) const MESSAGE: i32 = 11;
pub(crate) const BYTES: i32 = 12;
pub(crate) const UINT32: i32 = 13;
pub(crate) const ENUM: i32 = 14;
pub(crate) const SFIXED32: i32 = 15;
pub(crate) const SFIXED64: i32 = 16;
pub(crate) const SINT32: i32 = 17;
pub(crate) const SINT64: i32 = 18;

/// The type that a word means, if it is one of the built-in ones.
pub(crate) fn scalar(word: &str) -> Option<i32> {
    Some(match word {
        "double" => DOUBLE,
        "float" => FLOAT,
        "int64" => INT64,
        "uint64" => UINT64,
        "int32" => INT32,
        "fixed64" => FIXED64,
        "fixed32" => FIXED32,
        "bool" => BOOL,
        "string" => STRING,
        "bytes" => BYTES,
        "uint32" => UINT32,
        "sfixed32" => SFIXED32,
        "sfixed64" => SFIXED64,
        "sint32" => SINT32,
        "sint64" => SINT64,
        _ => return None,
    })
}

/// Whether a repeated field of the type can be packed.
pub(crate) fn can_pack(kind: i32) -> bool {
    !matches!(kind, STRING | BYTES | MESSAGE | GROUP)
}
