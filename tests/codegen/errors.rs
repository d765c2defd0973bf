//! What is wrong, where, and what to do about it.

use grpc_threads::build::{Builder, Definition, Rpc};

use crate::support::Folder;

fn error(folder: &Folder, builder: Builder, name: &str) -> String {
    let error = folder.generate(builder, &[name]).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string(), "main() prints it with Debug");
    error.to_string()
}

#[test]
fn an_error_in_a_file_has_file_line_and_column() {
    let folder = Folder::new("an_error_in_a_file")
        .with("syntax.proto", "syntax = \"proto3\";\nmessage A {\n  strin g name = 1;\n}\n")
        .with("type.proto", "syntax = \"proto3\";\nmessage A {\n  Unknown x = 1;\n}\n")
        .with("number.proto", "syntax = \"proto3\";\nmessage A { int32 a = 1; int32 b = 1; }\n")
        .with("broken.proto", "syntax = \"proto3\";\nimport \"type.proto\";\n");
    for (name, start, what) in [
        ("syntax.proto", "syntax.proto:3:11: ", "expected"),
        ("type.proto", "type.proto:3:3: ", "Unknown"),
        ("number.proto", "number.proto:2:", "1"),
        ("broken.proto", "type.proto:3:3: ", "Unknown"),
    ] {
        let text = error(&folder, Builder::new(), name);
        let start = folder.path(start).display().to_string();
        assert!(text.starts_with(&start) && text.contains(what), "{text}");
    }
}

#[test]
fn a_missing_import_tells_where_it_was_looked_for() {
    let folder = Folder::new("a_missing_import")
        .with("a.proto", "syntax = \"proto3\";\n\nimport \"other/b.proto\";\n");
    let (first, second) = (folder.0.clone(), folder.path("nowhere"));
    let error = Builder::new()
        .generate(&[folder.path("a.proto")], &[&first, &second])
        .unwrap_err()
        .to_string();
    let a = folder.path("a.proto").display().to_string();
    assert_eq!(
        error,
        format!(
            "{a}:3:1: import 'other/b.proto' not found; looked in:\n  {}\n  {} (there is no such folder)",
            first.display(),
            second.display()
        )
    );
}

#[test]
fn a_file_that_is_not_there_or_outside() {
    let folder = Folder::new("a_file_that_is_not_there")
        .with("a.proto", "syntax = \"proto3\";")
        .with("sub/b.proto", "syntax = \"proto3\";");
    let text = error(&folder, Builder::new(), "none.proto");
    assert!(text.contains("none.proto is not there; looked in:\n"), "{text}");
    let text = Builder::new()
        .generate(&[folder.path("a.proto")], &[folder.path("sub")])
        .unwrap_err()
        .to_string();
    assert!(text.contains("a.proto is in none of the include paths; looked in:\n"), "{text}");
}

#[test]
fn names_that_cannot_be() {
    let folder = Folder::new("names_that_cannot_be").with(
        "a.proto",
        "syntax = \"proto3\"; package p; message AStub {} message B {} message BService {}\n\
         service A { rpc X(B) returns (B); }",
    );
    for (builder, what) in [
        (Builder::new().rename("p.A", "B"), "p.A: the name B is taken"),
        (Builder::new().rename("p.A", "no name"), "is no name for a type"),
        (Builder::new().rename("p.A.X", "no name"), "is no name for a method"),
        (Builder::new().rename("p.Nothing", "N"), "rename(\"p.Nothing\", ..): there is no such"),
        (Builder::new().service(Definition::new("a b")), "identifiers with dots"),
        (
            Builder::new().service(
                Definition::new("q.C")
                    .method(Rpc::unary_unary("X", "A", "B"))
                    .method(Rpc::unary_unary("X", "A", "B")),
            ),
            "two methods called \"X\"",
        ),
    ] {
        let text = error(&folder, builder, "a.proto");
        assert!(text.contains(what), "{text}");
    }
}

#[test]
fn outside_a_build_script_somebody_has_to_say_where_to_write() {
    let folder = Folder::new("outside_a_build_script").with("a.proto", "syntax = \"proto3\";");
    let error = Builder::new().compile_protos(&[folder.path("a.proto")], &[&folder.0]).unwrap_err();
    assert!(error.to_string().contains("out_dir()"), "{error}");
}

#[test]
fn an_empty_list_of_files_is_an_error() {
    let none: [&str; 0] = [];
    let error = grpc_threads::build::compile_protos(&none, &["."]).unwrap_err();
    assert!(error.to_string().contains("no .proto file"), "{error}");
}

#[test]
fn a_run_does_not_replace_what_another_of_the_process_has_written() {
    let folder = Folder::new("a_run_does_not_replace")
        .with("a.proto", "syntax = \"proto3\"; package p; message A {}")
        .with("c.proto", "syntax = \"proto3\"; package p; message C {}");
    let run = |names: &[&str]| {
        let protos: Vec<_> = names.iter().map(|name| folder.path(name)).collect();
        Builder::new().out_dir(&folder.0).compile_protos(&protos, &[&folder.0])
    };
    run(&["a.proto"]).unwrap();
    run(&["a.proto"]).unwrap();
    let error = run(&["c.proto"]).unwrap_err().to_string();
    assert!(
        error.contains("p.rs was written by a run before this one, out of a.proto;"),
        "{error}"
    );
    // One more file is no loss.
    run(&["a.proto", "c.proto"]).unwrap();
}

#[test]
fn what_prost_types_has_not_is_told() {
    let tell = |builder: Builder, text: &str| {
        let folder = Folder::new("what_prost_types_has_not").with("a.proto", text);
        folder.generate(builder, &["a.proto"]).map(drop).map_err(|error| error.to_string())
    };
    let of = |name: &str| {
        format!(
            "syntax = \"proto2\"; package a; import \"google/protobuf/descriptor.proto\";\n\
             import \"google/protobuf/type.proto\"; import \"google/protobuf/compiler/plugin.proto\";\n\
             message M {{ message N {{ optional google.protobuf.{name} f = 1; }} }}"
        )
    };
    for name in ["FeatureSet", "FeatureSetDefaults", "FieldOptions.EditionDefault", "Edition"] {
        let text = tell(Builder::new(), &of(name)).unwrap_err();
        let what = format!("the type google.protobuf.{name} is not in the crate prost-types");
        assert!(text.contains("a.proto:3:") && text.contains(&what), "{text}");
    }
    for name in ["FieldOptions", "FieldOptions.CType", "Type", "Syntax", "compiler.Version"] {
        assert_eq!(tell(Builder::new(), &of(name)), Ok(()), "{name}");
    }
    let below = "package google.protobuf.x; message M { optional M m = 1; }";
    let text = tell(Builder::new(), below).unwrap_err();
    assert!(text.contains("package google.protobuf.x is not in the crate prost-types"), "{text}");
    let service = "syntax = \"proto3\"; import \"google/protobuf/descriptor.proto\";\n\
        service S { rpc X(google.protobuf.FeatureSet) returns (google.protobuf.FileOptions); }";
    assert!(tell(Builder::new(), service).unwrap_err().contains("a.proto:2:"));
    // Where they are generated, or the user's own, they are there.
    for text in [&of("FeatureSet")[..], below, service] {
        assert_eq!(tell(Builder::new().compile_well_known_types(), text), Ok(()));
    }
    let own = Builder::new().extern_path(".google.protobuf.FeatureSet", "crate::FeatureSet");
    assert_eq!(tell(own, &of("FeatureSet")), Ok(()));
}
