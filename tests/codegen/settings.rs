//! Limits, names and attributes of methods, from options of a `.proto` and from the builder.

use std::time::Duration;

use grpc_threads::build::{Builder, Definition, MethodSettings, Rpc};

use crate::golden::golden;
use crate::support::{Folder, compare, only, text};

const LIMITS: &str = r##"
syntax = "proto3";
package limits;
import "grpc_threads/options.proto";

service Store {
  option (grpc_threads.service) = {
    timeout_ms: 200
    max_request_size: 1000000
    name: "Shelf"
    server_attribute: "#[doc(alias = \"Store\")]"
    stub_attribute: "#[doc(alias = \"Store\")]"
  };
  rpc Put(Item) returns (Item) {
    option (grpc_threads.method) = { max_request_size: 10 max_response_size: 20 reserved: true };
  }
  rpc Get(Item) returns (Item) {
    option (grpc_threads.method).name = "fetch";
    option (grpc_threads.method).timeout_ms = 0;
    option (grpc_threads.method).wait_for_ready = true;
    option (grpc_threads.method).thread_pool = true;
    option (grpc_threads.method).server_attribute = "#[must_use]";
    option (grpc_threads.method).stub_attribute = "#[doc(alias = \"Get\")]";
  }
  rpc Watch(stream Item) returns (stream Item) {
    option (grpc_threads.method) = { compression: "none" };
  }
}
message Item { string text = 1; }
"##;

/// In a folder of its own.
fn limits(test: &str, builder: Builder) -> String {
    let folder = Folder::new(test).with("limits.proto", LIMITS);
    only(folder.generate(builder, &["limits.proto"]).unwrap())
}

#[test]
fn options_of_a_proto_set_limits_names_and_attributes() {
    let text = limits("options_set_limits", Builder::new().embed_descriptors(false));
    compare(&golden("limits.rs"), &text);
}

#[test]
fn what_is_said_of_a_method_wins_over_what_is_said_of_more() {
    let ms = |ms| MethodSettings::new().timeout(Duration::from_millis(ms));
    let builder = Builder::new()
        .client_only()
        .method_settings(".limits.Store.Put", ms(1))
        .method_settings(".limits", ms(2).wait_for_ready(true))
        .rename("limits.Store.Get", "take");
    let text = limits("what_is_said_of_a_method", builder);
    let calls = |method: &str| {
        let from = text.split_once(&format!("{method}: channel\n")).unwrap().1;
        from.split_once(",\n").unwrap().0.to_owned()
    };
    assert!(
        calls("put").contains("from_millis(1)") && calls("put").contains("wait_for_ready(true)")
    );
    assert!(calls("put").contains("max_send_message_size(10)"));
    // The service's own wins over that of its package.
    assert!(calls("watch").contains("from_millis(200)"));
    assert!(!calls("take").contains("from_millis"));
    // Of the same, the builder's wins.
    let builder = Builder::new().client_only().method_settings(".limits.Store", ms(3));
    let text = limits("what_is_said_of_a_method", builder);
    assert!(text.contains("from_millis(3)") && !text.contains("from_millis(200)"), "{text}");
}

#[test]
fn options_are_found_by_name_and_their_types_are_not_generated() {
    let ours = include_str!("../../src/build/grpc_threads/options.proto");
    let folder = Folder::new("options_are_found_by_name")
        .with("limits.proto", LIMITS)
        .with("grpc_threads/options.proto", &ours.replace("56717", "50001"));
    let builder = || Builder::new().client_only().embed_descriptors(false);
    let files = folder.generate(builder(), &["limits.proto"]).unwrap();
    assert_eq!(only(files), limits("options_are_found_by_name_too", builder()));
    // Without the file, a number alone means nothing.
    let other = "syntax = \"proto3\"; package a; import \"google/protobuf/descriptor.proto\";\
        extend google.protobuf.MethodOptions { string mine = 56717; } message M {}\
        service S { rpc X(M) returns (M) { option (mine) = \"\\032\\003abc\"; } }";
    let folder = Folder::new("a_number_alone").with("a.proto", other);
    assert!(only(folder.generate(builder(), &["a.proto"]).unwrap()).contains("x: channel.unary"));
    // What is imported for options only.
    let edition = LIMITS
        .replace("syntax = \"proto3\"", "edition = \"2024\"")
        .replace("import \"grpc", "import option \"grpc");
    let folder = Folder::new("imported_for_options").with("limits.proto", &edition);
    let files = folder.generate(builder(), &["limits.proto"]).unwrap();
    assert!(only(files).contains("max_send_message_size(1_000_000)"));
}

#[test]
fn mistakes_in_settings_are_told() {
    let tell = |from: &str, to: &str| {
        let folder =
            Folder::new("mistakes_in_settings").with("limits.proto", &LIMITS.replacen(from, to, 1));
        folder.generate(Builder::new(), &["limits.proto"]).unwrap_err().to_string()
    };
    let text = tell("#[must_use]", "fn x() {}");
    assert!(text.contains("limits.Store.Get") && text.contains("is no attribute"), "{text}");
    let text = tell("\"fetch\"", "\"1\"");
    assert!(text.contains("limits.Store") && text.contains("\"1\" is no name"), "{text}");
    let text = tell("timeout_ms: 200", "timeout_ms: soon");
    assert!(text.contains("limits.proto:"), "{text}");
    let builder = Builder::new().method_settings("limits.Store.Pit", MethodSettings::new());
    let folder = Folder::new("mistakes_in_settings").with("limits.proto", LIMITS);
    let text = folder.generate(builder, &["limits.proto"]).unwrap_err().to_string();
    assert!(text.contains("method_settings(\"limits.Store.Pit\", ..): there is no such"), "{text}");
}

#[test]
fn services_defined_in_code_and_attributes_by_path() {
    let settings = MethodSettings::new().max_response_size(70_000).compression("snappy");
    let echo = Definition::new("demo.Echo")
        .method(Rpc::unary_unary("Say", "()", "()").settings(settings))
        .method(Rpc::unary_unary("Ask", "()", "()"));
    let folder = Folder::new("attributes_by_path").with("a.proto", "syntax = \"proto3\";");
    let builder = Builder::new()
        .service(echo)
        .server_attribute(".demo.Echo.Say", "#[a]")
        .stub_attribute("demo.Echo.Ask", "#[b]");
    let files = folder.generate(builder, &["a.proto"]).unwrap();
    let text = text(&files, "demo.rs");
    for line in [
        "max_send_message_size(70_000),\n",
        "max_receive_message_size(70_000)\n",
        ".compression(::grpc_threads::Compression::Custom(\"snappy\")),\n",
        "    #[a]\n    fn say(\n",
        "    #[b]\n    pub ask: ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!((text.matches("#[a]").count(), text.matches("#[b]").count()), (1, 1));
}
