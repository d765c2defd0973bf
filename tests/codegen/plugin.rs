//! `grpc-threads-gen` as a program, and as a plugin of `protoc`.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use grpc_threads::build::Builder;
use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

use crate::support::Folder;

const A: &str = "syntax = \"proto3\"; package a; import \"b.proto\";\n\
    service A { rpc X(b.B) returns (b.B); }";
const B: &str = "syntax = \"proto3\"; package b; message B {}";

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_grpc-threads-gen"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// As a plugin, by its path.
pub(crate) fn run_at(program: &str, input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn request(folder: &Folder, parameter: &str) -> Vec<u8> {
    Builder::new()
        .out_dir(&folder.0)
        .file_descriptor_set(folder.path("set.bin"))
        .compile_protos(&[folder.path("a.proto")], &[&folder.0])
        .unwrap();
    let set = FileDescriptorSet::decode(&fs::read(folder.path("set.bin")).unwrap()[..]).unwrap();
    CodeGeneratorRequest {
        file_to_generate: vec!["a.proto".to_owned()],
        parameter: Some(parameter.to_owned()),
        proto_file: set.file,
        compiler_version: None,
    }
    .encode_to_vec()
}

#[test]
fn the_program_writes_what_the_builder_does() {
    let folder = Folder::new("the_program_writes").with("a.proto", A).with("b.proto", B);
    fs::create_dir(folder.path("out")).unwrap();
    let (include, out) = (folder.0.display().to_string(), folder.path("out").display().to_string());
    let file = folder.path("a.proto").display().to_string();
    let output = run(&["-I", &include, "--out", &out, "--client-only", &file], b"");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let expected = folder.generate(Builder::new().client_only(), &["a.proto"]).unwrap();
    for file in expected {
        assert_eq!(fs::read_to_string(folder.path("out").join(file.name)).unwrap(), file.text);
    }
}

#[test]
fn the_program_says_what_is_wrong() {
    let folder =
        Folder::new("the_program_says").with("a.proto", "syntax = \"proto3\";\nmessage {}");
    let (include, file) =
        (folder.0.display().to_string(), folder.path("a.proto").display().to_string());
    for (arguments, what) in [
        (&["-I", &include[..], &file[..]][..], "a.proto:2:9: expected"),
        (&["--nonsense=1", &file], "there is no option \"nonsense\""),
        (&["--out"], "--out needs a value"),
        (&["--client-only"], "which files?"),
        (
            &["--timeout-ms=a.B=soon", &file],
            "timeout-ms is to be a number up to 4294967295; it was \"soon\"",
        ),
        (&["--rename=x", &file], "rename is to be rename=PATH=VALUE"),
    ] {
        let output = run(arguments, b"");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(what), "{text}");
    }
    let help = String::from_utf8(run(&["--help"], b"").stdout).unwrap();
    assert!(help.contains("--include-file") && help.contains("protoc"), "{help}");
}

#[test]
fn protoc_gets_the_files_it_asked_for() {
    let folder = Folder::new("protoc_gets").with("a.proto", A).with("b.proto", B);
    let output = run(
        &[],
        &request(
            &folder,
            "client_only,include_file=mod.rs,rename=other.Service=Name,timeout_ms=a=1500,max_request_size=.=7",
        ),
    );
    assert!(output.status.success(), "{output:?}");
    let response = CodeGeneratorResponse::decode(&output.stdout[..]).unwrap();
    assert_eq!((response.error, response.supported_features), (None, Some(3)));
    let names: Vec<_> = response.file.iter().map(|file| file.name()).collect();
    assert_eq!(names, ["a.rs", "mod.rs"]);
    let text = response.file[0].content();
    assert!(text.contains("AStub") && !text.contains("AServer") && text.contains("super::b::B"));
    assert!(text.contains("from_millis(1_500)") && text.contains("max_send_message_size(7)"));
}

#[test]
fn protoc_is_told_what_is_wrong_in_the_response() {
    let folder = Folder::new("protoc_is_told").with("a.proto", A).with("b.proto", B);
    for (input, what) in [
        (request(&folder, "nonsense"), "there is no option \"nonsense\""),
        (b"\xff".to_vec(), "the request cannot be read"),
    ] {
        let output = run(&[], &input);
        assert!(output.status.success(), "{output:?}");
        let response = CodeGeneratorResponse::decode(&output.stdout[..]).unwrap();
        assert!(response.error().contains(what), "{response:?}");
        assert_eq!(response.supported_features, Some(3));
    }
}

#[test]
fn the_program_says_what_a_run_replaces_and_checks_what_is_there() {
    let folder = Folder::new("the_program_replaces")
        .with("a.proto", "syntax = \"proto3\"; package p; message A {}")
        .with("c.proto", "syntax = \"proto3\"; package p; message C {}");
    let path = |name: &str| folder.path(name).display().to_string();
    let (include, out) =
        (format!("-I{}", folder.0.display()), format!("--out={}", folder.0.display()));
    let program = |more: &[&str]| {
        let output = run(&[&[&include[..], &out, "--include-file=all.rs"], more].concat(), b"");
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(program(&[&path("a.proto")]), (true, String::new()));
    assert_eq!(program(&["--check", &path("a.proto")]), (true, String::new()));
    let (success, text) = program(&["--check", &path("c.proto")]);
    assert!(
        !success
            && text.contains("not as the generator would write it now:")
            && text.contains("p.rs"),
        "{text}"
    );
    let (success, text) = program(&[&path("c.proto")]);
    assert!(
        success && text.contains("p.rs had code of a.proto, which is not in this run"),
        "{text}"
    );
    // Who is gone is not missed.
    fs::remove_file(folder.path("c.proto")).unwrap();
    assert_eq!(program(&[&path("a.proto")]), (true, String::new()));
}
