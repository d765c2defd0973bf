//! The builder's options, names, and files.

use std::fs;

use grpc_threads::build::Builder;
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::support::{Folder, only, text};

const KINDS: &str = "syntax = \"proto3\"; package kinds;\n\
    message M { bytes b = 1; map<string, string> m = 2; }\n\
    service S { rpc Get(M) returns (M); rpc get(M) returns (M); rpc Self(M) returns (M);\
    rpc Match(M) returns (M); }";

#[test]
fn methods_have_names_of_their_own() {
    let folder = Folder::new("methods_have_names").with("a.proto", KINDS);
    let text = only(folder.generate(Builder::new(), &["a.proto"]).unwrap());
    for line in [
        "fn get(",
        "fn get_2(",
        "fn self_(",
        "fn r#match(",
        "pub fn match_with<F>",
        "const MATCH_PATH: ::grpc_threads::MethodPath",
        "from_static(\"/kinds.S/get\")",
        "r#match: channel.unary_unary_at(",
        // The message M hides no type parameter, the service S does.
        "pub struct SServer<S2> {",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn a_message_called_as_a_stub_gives_the_service_another_name() {
    let proto = "syntax = \"proto3\"; package p; message AStub {} message ServerA {}\n\
        service A { rpc X(AStub) returns (AStub); }";
    let folder = Folder::new("a_message_called_as_a_stub").with("a.proto", proto);
    let own = only(folder.generate(Builder::new(), &["a.proto"]).unwrap());
    for line in ["trait AService:", "struct AServiceServer<", "struct AServiceStub {"] {
        assert!(own.contains(line), "{line}");
    }
    let renamed = Builder::new().rename("p.A", "Alpha").rename("p.A.X", "go");
    let renamed = only(folder.generate(renamed, &["a.proto"]).unwrap());
    for line in ["trait Alpha:", "struct AlphaStub {", "fn go(", "const GO_PATH", "\"/p.A/X\""] {
        assert!(renamed.contains(line), "{line}");
    }
}

#[test]
fn options_reach_the_messages() {
    let folder = Folder::new("options_reach_the_messages").with("a.proto", KINDS);
    let builder = Builder::new()
        .bytes(["."])
        .btree_map(["."])
        .type_attribute(".kinds.M", "#[derive(Ord)]")
        .field_attribute(".kinds.M.b", "#[x]")
        .library_path("crate::rpc")
        .prost_path("crate::prost");
    let text = only(folder.generate(builder, &["a.proto"]).unwrap());
    for line in ["bytes::Bytes", "BTreeMap", "#[derive(Ord)]", "#[x]", "crate::rpc::Channel"] {
        assert!(text.contains(line), "{line}");
    }
    assert!(!text.contains("::grpc_threads") && !text.contains(" ::prost::"));
    let builder = Builder::new().extern_path(".kinds.M", "::elsewhere::M").embed_descriptors(false);
    let text = only(folder.generate(builder, &["a.proto"]).unwrap());
    assert!(
        !text.contains("struct M") && text.contains("UnaryUnary<::elsewhere::M, ::elsewhere::M>")
    );
    assert!(!text.contains("FILE_DESCRIPTOR_SET"));
}

#[test]
fn a_package_may_have_many_files_and_none() {
    let folder = Folder::new("a_package_may_have_many_files")
        .with("a.proto", "syntax = \"proto3\"; package p.q; import \"b.proto\"; service A { rpc X(B) returns (N); } message N {}")
        .with("b.proto", "syntax = \"proto3\"; package p.q; message B {} service C {}")
        .with("none.proto", "syntax = \"proto3\"; import \"b.proto\"; service D { rpc X(p.q.B) returns (p.q.B); }")
        .with("messages.proto", "syntax = \"proto3\"; package m; message Only {}");
    let names = ["a.proto", "b.proto", "none.proto", "messages.proto"];
    let files = folder.generate(Builder::new(), &names).unwrap();
    let written: Vec<_> = files.iter().map(|file| &file.name[..]).collect();
    assert_eq!(written, ["_.rs", "m.rs", "p.q.rs"]);
    assert!(
        text(&files, "p.q.rs").contains("struct AStub")
            && text(&files, "p.q.rs").contains("struct CStub")
    );
    assert!(text(&files, "_.rs").contains("UnaryUnary<p::q::B, p::q::B>"));
    assert!(text(&files, "_.rs").contains("from_static(\"/D/X\")"));
    assert!(!text(&files, "m.rs").contains("grpc_threads::"));
}

#[test]
fn files_are_written_once_and_watched() {
    let folder = Folder::new("files_are_written_once").with("a.proto", KINDS);
    let write = || {
        Builder::new()
            .out_dir(&folder.0)
            .include_file("all.rs")
            .file_descriptor_set(folder.path("set.bin"))
            .compile_protos(&[folder.path("a.proto")], &[&folder.0])
            .unwrap();
        fs::metadata(folder.path("kinds.rs")).unwrap().modified().unwrap()
    };
    assert_eq!(write(), write());
    let all = fs::read_to_string(folder.path("all.rs")).unwrap();
    assert!(all.contains("pub mod kinds {\n    include!(\"kinds.rs\");\n}\n"), "{all}");
    let set = FileDescriptorSet::decode(&fs::read(folder.path("set.bin")).unwrap()[..]).unwrap();
    assert_eq!(set.file[0].service[0].method.len(), 4);
}

#[test]
fn descriptors_keep_options_that_are_extensions() {
    let folder = Folder::new("descriptors_keep_options").with(
        "a.proto",
        "syntax = \"proto3\"; package p; import \"google/protobuf/descriptor.proto\";\n\
         extend google.protobuf.MethodOptions { string note = 50000; }\n\
         message M {} service S { rpc X(M) returns (M) { option (note) = \"kept for reflection\"; } }",
    );
    let text = only(folder.generate(Builder::new(), &["a.proto"]).unwrap());
    let literal = text.split_once("FILE_DESCRIPTOR_SET").unwrap().1;
    assert!(literal.replace("\\\n    ", "").contains("kept for reflection"));
}

#[test]
fn attributes_reach_services_by_their_paths() {
    let folder = Folder::new("attributes_reach_services").with("a.proto", KINDS);
    let builder =
        || Builder::new().server_attribute(".kinds.S", "#[server]").stub_attribute(".", "#[stub]");
    let text = only(folder.generate(builder(), &["a.proto"]).unwrap());
    assert_eq!(
        (text.matches("#[server]\n").count(), text.matches("#[stub]\n#[derive(").count()),
        (2, 1)
    );
    let none = builder().server_attribute("kinds.T", "#[none]").stub_attribute(".kin", "#[none]");
    assert!(!only(folder.generate(none, &["a.proto"]).unwrap()).contains("#[none]"));
}
