//! Every `.proto` below `proto/`, in one run; then some of them again with options.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use grpc_threads::build::{Builder, Definition, Rpc};

fn main() -> Result<(), Box<dyn Error>> {
    let mut protos = Vec::new();
    find(Path::new("proto"), &mut protos)?;
    let echo = Definition::new("in.code.Echo")
        .method(Rpc::unary_unary("Say", "crate::Text", "crate::Text").codec("crate::TextCodec"))
        .method(Rpc::unary_stream("Type", "crate::Text", "crate::Text").codec("crate::TextCodec"))
        .method(Rpc::stream_unary("Self", "crate::Text", "crate::Text").codec("crate::TextCodec"))
        .method(Rpc::stream_stream("Chat", "crate::Text", "crate::Text").codec("crate::TextCodec"));
    Builder::new()
        .include_file("all.rs")
        .service(echo)
        .rename("odd.clash.Chosen", "Taken")
        .compile_protos(&protos, &["proto"])?;

    let with_options = PathBuf::from(std::env::var("OUT_DIR")?).join("options");
    fs::create_dir_all(&with_options)?;
    Builder::new()
        .out_dir(with_options)
        .bytes(["."])
        .btree_map(["."])
        .compile_well_known_types()
        .enable_type_names()
        .type_attribute(".", "#[doc(hidden)]")
        .compile_protos(&["proto/google/pubsub/v1/pubsub.proto"], &["proto"])?;
    Ok(())
}

fn find(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, into)?;
        } else {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}
