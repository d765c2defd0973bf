//! Whole texts: what the code of a service looks like.

use std::path::Path;

use grpc_threads::build::{Builder, Definition, Rpc};

use crate::support::{Folder, compare, only, text};

pub(crate) fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codegen/golden").join(name)
}

const SHOP: &str = r#"
syntax = "proto3";
package shop.v1;

// Orders, of all kinds.
//
//     not = code;
service Orders {
  // Places one.
  rpc Place(Order) returns (Receipt);
  rpc Watch(Order) returns (stream Receipt);
  // Deprecated for a reason.
  rpc Type(stream Order) returns (Receipt) { option deprecated = true; }
  rpc Haggle(stream Order.Line) returns (stream Receipt);
}

message Order {
  message Line { string what = 1; oneof price { int64 cents = 2; bool free = 3; } }
  repeated Line lines = 1;
  // `1` and more.
  optional uint32 priority = 2 [deprecated = true];
}
message Receipt { bytes scan = 1; Kind kind = 2; map<string, int32> totals = 3; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_PAPER = 1; }
"#;

#[test]
fn client_and_server() {
    let folder = Folder::new("client_and_server").with("shop.proto", SHOP);
    let text = only(folder.generate(Builder::new(), &["shop.proto"]).unwrap());
    compare(&golden("shop.rs"), &text);
}

#[test]
fn clients_alone_are_a_part_of_both() {
    let folder = Folder::new("clients_alone").with("shop.proto", SHOP);
    let both = only(folder.generate(Builder::new(), &["shop.proto"]).unwrap());
    let client = only(folder.generate(Builder::new().client_only(), &["shop.proto"]).unwrap());
    let server = only(folder.generate(Builder::new().server_only(), &["shop.proto"]).unwrap());
    let none = only(folder.generate(Builder::new().messages_only(), &["shop.proto"]).unwrap());
    assert!(client.contains("OrdersStub") && !client.contains("OrdersServer"));
    assert!(!server.contains("OrdersStub") && server.contains("OrdersServer"));
    assert!(!none.contains("grpc_threads::") && none.contains("pub struct Receipt"));
    let lines =
        |text: &str| text.lines().map(str::to_owned).collect::<std::collections::HashSet<_>>();
    assert!(lines(&client).is_subset(&lines(&both)));
    assert!(lines(&server).is_subset(&lines(&both)));
}

#[test]
fn services_defined_in_code() {
    let echo = Definition::new("demo.Echo")
        .comment("Says what it hears.")
        .method(
            Rpc::unary_unary("Say", "crate::Text", "crate::Text")
                .comment("Once.")
                .codec("crate::TextCodec"),
        )
        .method(Rpc::stream_stream("Type", "Vec<u8>", "crate::Text").codec("crate::TextCodec"))
        .method(
            Rpc::unary_stream("List", "()", "()")
                .proto_types("google.protobuf.Empty", ".google.protobuf.Empty"),
        );
    let folder = Folder::new("services_defined_in_code").with("a.proto", "syntax = \"proto3\";");
    let files = folder.generate(Builder::new().service(echo), &["a.proto"]).unwrap();
    compare(&golden("echo.rs"), text(&files, "demo.rs"));
}
