//! Editions: each feature and its override gives the code that the same gives in proto2 or proto3, so the same octets.

use grpc_threads::build::Builder;
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::inputs::descriptors;
use crate::support::{Folder, only, text};

/// The code of a text, without the line that names its file.
fn code(test: &str, text: &str) -> String {
    let folder = Folder::new(test).with("a.proto", text);
    let text = only(folder.generate(Builder::new().messages_only(), &["a.proto"]).unwrap());
    text.split_once("\n\n").unwrap().1.to_owned()
}

/// Each text of an edition, and the same in words of a syntax.
fn twins(test: &str, pairs: &[(&str, &str)]) {
    for (at, (edition, syntax)) in pairs.iter().enumerate() {
        for number in ["2023", "2024"] {
            let edition = format!("edition = \"{number}\"; {edition}");
            let (a, b) = (
                code(&format!("{test}_{at}_{number}"), &edition),
                code(&format!("{test}_{at}"), syntax),
            );
            let difference = a.lines().zip(b.lines()).find(|(a, b)| a != b);
            assert!(a == b, "{at}: {difference:?}\n{a}");
        }
    }
}

#[test]
fn presence() {
    twins(
        "presence",
        &[
            (
                "message M { int32 a = 1; string b = 2; M m = 3; E e = 4; } enum E { A = 0; }",
                "syntax = \"proto3\"; message M { optional int32 a = 1; optional string b = 2; M m = 3; optional E e = 4; } enum E { A = 0; }",
            ),
            ("message M { int32 a = 1; }", "message M { optional int32 a = 1; }"),
            (
                "message M { int32 a = 1 [default = 5]; }",
                "message M { optional int32 a = 1 [default = 5]; }",
            ),
            (
                "option features.field_presence = IMPLICIT; message M { int32 a = 1; bytes b = 2; M m = 3; string c = 4 [features.field_presence = EXPLICIT]; }",
                "syntax = \"proto3\"; message M { int32 a = 1; bytes b = 2; M m = 3; optional string c = 4; }",
            ),
            (
                "message M { int32 a = 1 [features.field_presence = LEGACY_REQUIRED]; M m = 2 [features.field_presence = LEGACY_REQUIRED]; }",
                "message M { required int32 a = 1; required M m = 2; }",
            ),
            (
                "option features.field_presence = LEGACY_REQUIRED; message M { int32 a = 1; oneof o { int32 b = 2; } repeated string c = 3; }",
                "message M { required int32 a = 1; oneof o { int32 b = 2; } repeated string c = 3; }",
            ),
            (
                "option features.field_presence = IMPLICIT; message M { oneof o { int32 a = 1; M m = 2; } map<string, int32> n = 3; }",
                "syntax = \"proto3\"; message M { oneof o { int32 a = 1; M m = 2; } map<string, int32> n = 3; }",
            ),
        ],
    );
}

#[test]
fn packing() {
    twins(
        "packing",
        &[
            (
                "message M { repeated int32 a = 1; repeated string b = 2; repeated E e = 3; } enum E { A = 0; }",
                "syntax = \"proto3\"; message M { repeated int32 a = 1; repeated string b = 2; repeated E e = 3; } enum E { A = 0; }",
            ),
            (
                "message M { repeated int32 a = 1 [features.repeated_field_encoding = EXPANDED]; repeated int32 b = 2 [deprecated = true]; }",
                "message M { repeated int32 a = 1; repeated int32 b = 2 [packed = true, deprecated = true]; }",
            ),
            (
                "option features.repeated_field_encoding = EXPANDED; message M { repeated int32 a = 1; repeated int32 b = 2 [features.repeated_field_encoding = PACKED]; }",
                "message M { repeated int32 a = 1; repeated int32 b = 2 [packed = true]; }",
            ),
        ],
    );
}

#[test]
fn delimited_messages() {
    twins(
        "delimited",
        &[
            (
                "message M { message Part { int32 n = 1; } Part part = 1 [features.message_encoding = DELIMITED]; }",
                "message M { optional group Part = 1 { optional int32 n = 1; } }",
            ),
            (
                "message M { message Part { int32 n = 1; } repeated Part part = 1 [features.message_encoding = DELIMITED]; }",
                "message M { repeated group Part = 1 { optional int32 n = 1; } }",
            ),
            (
                "option features.message_encoding = DELIMITED; message M { message Part { int32 n = 1; } Part part = 1;\n\
                 M m = 2 [features.message_encoding = LENGTH_PREFIXED]; map<int32, Part> map = 3; oneof o { Other other = 4; } message Other {} }",
                "message M { optional group Part = 1 { optional int32 n = 1; } optional M m = 2; map<int32, Part> map = 3;\n\
                 oneof o { group Other = 4 {} } }",
            ),
            (
                "message M { message Part { } Part part = 1 [features = { message_encoding: DELIMITED field_presence: LEGACY_REQUIRED }]; }",
                "message M { required group Part = 1 { } }",
            ),
        ],
    );
}

#[test]
fn enums_strings_and_what_is_inherited() {
    twins(
        "enums_strings",
        &[
            (
                "enum E { option features.enum_type = CLOSED; A = 1; B = 2; } message M { E e = 1 [default = B]; }",
                "enum E { A = 1; B = 2; } message M { optional E e = 1 [default = B]; }",
            ),
            (
                "option features.enum_type = CLOSED; enum E { A = 1; } enum F { option features.enum_type = OPEN; C = 0; }",
                "enum E { A = 1; } enum F { C = 0; }",
            ),
            (
                "option features.utf8_validation = NONE; message M { string a = 1; string b = 2 [features.utf8_validation = VERIFY]; }",
                "message M { optional string a = 1; optional string b = 2; }",
            ),
            (
                "option features.json_format = LEGACY_BEST_EFFORT; message M { int32 foo_bar = 1; int32 fooBar = 2; }",
                "message M { optional int32 foo_bar = 1; optional int32 fooBar = 2; }",
            ),
        ],
    );
}

#[test]
fn groups_that_lead_back_are_boxed() {
    let text = code(
        "groups_that_lead_back",
        "edition = \"2023\"; option features.message_encoding = DELIMITED;\n\
         message A { B b = 1; oneof o { A again = 2; } } message B { A a = 1; C c = 2; } message C {}",
    );
    for line in [
        "pub b: ::core::option::Option<::prost::alloc::boxed::Box<B>>,",
        "Again(::prost::alloc::boxed::Box<super::A>),",
        "pub c: ::core::option::Option<C>,",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn descriptors_keep_the_edition() {
    let folder = Folder::new("descriptors_keep_the_edition").with(
        "a.proto",
        "edition = \"2024\"; package p; import option \"google/protobuf/cpp_features.proto\";\n\
         option features.(pb.cpp).string_type = STRING; option features.enforce_naming_style = STYLE_LEGACY;\n\
         message M { int32 a = 1 [features.field_presence = IMPLICIT]; local message N {} }",
    );
    let set = descriptors(&folder, &["a.proto"]).unwrap();
    // syntax, edition and the dependency of options; features of this field; what is for sources only is not there.
    for octets in [
        &b"b\x08editionsp\xe9\x07z\"google/protobuf/cpp_features.proto"[..],
        b"B\x05\xaa\x01\x02\x08\x02",
        b"B\x08\x92\x03\x05\xc2>\x02\x10\x03",
    ] {
        assert!(set.windows(octets.len()).any(|window| window == octets), "{octets:x?}\n{set:x?}");
    }
    let names = FileDescriptorSet::decode(&set[..]).unwrap().file;
    let names: Vec<&str> = names.iter().map(|file| file.name()).collect();
    assert_eq!(
        names,
        ["google/protobuf/descriptor.proto", "google/protobuf/cpp_features.proto", "a.proto"]
    );
}

#[test]
fn options_and_maps_have_the_features_of_their_files() {
    let folder = Folder::new("options_and_maps_have").with(
        "a.proto",
        "edition = \"2023\"; package p; import \"google/protobuf/descriptor.proto\"; option features.message_encoding = DELIMITED;\n\
         message Rule { message Part { int32 n = 1; } Part part = 1; repeated int32 list = 2; }\n\
         extend google.protobuf.MessageOptions { Rule rule = 50000; }\n\
         message M { option (rule) = { Part { n: 1 } list: [1, 2] }; map<string, string> m = 1 [features.utf8_validation = NONE]; }",
    );
    let set = descriptors(&folder, &["a.proto"]).unwrap();
    // A group in a group, and features of the entry's value.
    for octets in [
        &b":\x0e\x83\xb5\x18\x0b\x08\x01\x0c\x12\x02\x01\x02\x84\xb5\x18"[..],
        b"B\x05\xaa\x01\x02 \x03R\x05value",
    ] {
        assert!(set.windows(octets.len()).any(|window| window == octets), "{octets:x?}");
    }
}

#[test]
fn what_is_local_is_for_its_own_file() {
    let folder = Folder::new("what_is_local")
        .with(
            "a.proto",
            "edition = \"2024\"; package p; message Open { message Inner {} export message Outer {} } local message Mine {} message Uses { Mine mine = 1; Open.Inner inner = 2; }",
        )
        .with("good.proto", "edition = \"2024\"; package p; import \"a.proto\"; message M { Open a = 1; Open.Outer b = 2; }")
        .with("mine.proto", "syntax = \"proto3\"; package p; import \"a.proto\"; message M { Mine a = 1; }")
        .with("inner.proto", "syntax = \"proto3\"; package p; import \"a.proto\"; service S { rpc X(Open) returns (Open.Inner); }");
    descriptors(&folder, &["good.proto"]).unwrap();
    for (name, what) in [
        ("mine.proto", "'p.Mine' is local to 'a.proto'"),
        ("inner.proto", "'p.Open.Inner' is local"),
    ] {
        let error = descriptors(&folder, &[name]).unwrap_err();
        assert!(error.contains(what) && error.contains(name), "{error}");
    }
    for (default, reaches) in [("EXPORT_ALL", true), ("LOCAL_ALL", false)] {
        let folder = Folder::new("what_is_local_by_default")
            .with("a.proto", &format!("edition = \"2024\"; option features.default_symbol_visibility = {default}; message Open {{ message Inner {{}} }}"))
            .with("b.proto", "edition = \"2023\"; import \"a.proto\"; message M { Open.Inner a = 1; }");
        assert_eq!(descriptors(&folder, &["b.proto"]).is_ok(), reaches);
    }
}

#[test]
fn options_of_options_alone_are_not_for_types() {
    let folder = Folder::new("options_alone")
        .with("o.proto", "edition = \"2024\"; package o; import option \"google/protobuf/descriptor.proto\"; message Odd {}")
        .with("a.proto", "edition = \"2024\"; import option \"o.proto\"; message M { o.Odd odd = 1; }");
    let error = descriptors(&folder, &["a.proto"]).unwrap_err();
    assert!(error.contains("'o.Odd' is not defined; 'o.proto' has it"), "{error}");
}

#[test]
fn what_an_edition_does_not_have() {
    for (at, (edition, text, what)) in [
        ("2023", "message M { optional int32 a = 1; }", "editions have no 'optional'"),
        ("2023", "message M { required int32 a = 1; }", "LEGACY_REQUIRED is the same"),
        ("2023", "message M { group G = 1 {} }", "DELIMITED is the same"),
        ("2023", "message M { repeated int32 a = 1 [packed = true]; }", "in place of 'packed'"),
        ("2023", "local message M {}", "need edition 2024"),
        ("2023", "import option \"google/protobuf/any.proto\";", "needs edition 2024"),
        ("2024", "import weak \"google/protobuf/any.proto\";", "no 'import weak'"),
        ("2023", "message M { reserved \"a\"; }", "without quotes"),
        ("2024", "import option \"google/protobuf/any.proto\"; import \"google/protobuf/api.proto\";", "after all others"),
        ("2023", "message M { M m = 1 [features.field_presence = IMPLICIT]; }", "no implicit field_presence"),
        ("2023", "message M { repeated int32 a = 1 [features.field_presence = EXPLICIT]; }", "only singular fields"),
        ("2023", "message M { int32 a = 1 [features.repeated_field_encoding = PACKED]; }", "only repeated fields"),
        ("2023", "message M { int32 a = 1 [features.message_encoding = DELIMITED]; }", "only messages"),
        ("2023", "message M { int32 a = 1 [features.utf8_validation = NONE]; }", "only strings"),
        ("2023", "message M { option features.field_presence = IMPLICIT; }", "none of this kind of element"),
        ("2023", "enum E { A = 1; }", "has to be 0"),
        ("2023", "option features.enum_type = OPENED;", "not 'OPENED'"),
        ("2023", "option features.enforce_naming_style = STYLE2024;", "not in this edition or syntax yet"),
        (
            "2023",
            "option features.field_presence = IMPLICIT; enum E { option features.enum_type = CLOSED; A = 0; } message M { E e = 1; }",
            "is closed",
        ),
        ("2023", "message M { int32 a = 1 [features.field_presence = IMPLICIT, default = 1]; }", "implicit presence has no default"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("no_edition_has_{at}"))
            .with("a.proto", &format!("edition = \"{edition}\"; {text}"));
        let error = folder.generate(Builder::new(), &["a.proto"]).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("a.proto:1:"), "{at}: {error}");
    }
}

#[test]
fn a_service_of_an_edition_is_as_any() {
    let proto = "package p; message M { int32 a = 1; } service S { rpc X(M) returns (stream M); }";
    let folder = Folder::new("a_service_of_an_edition")
        .with("a.proto", &format!("edition = \"2023\"; {proto}"))
        .with(
            "b.proto",
            "syntax = \"proto3\"; package q; import \"a.proto\"; message N { p.M m = 1; }",
        );
    let files = folder.generate(Builder::new(), &["b.proto"]).unwrap();
    assert!(text(&files, "p.rs").contains("pub struct SStub {"));
    assert!(text(&files, "q.rs").contains("super::p::M"));
}
