//! As a plugin of `protoc` or buf: a request on standard input, a response on standard output.
//!
//! § `google/protobuf/compiler/plugin.proto`.

use std::collections::HashSet;

use prost::Message;
use prost_build::Module;
use prost_types::compiler::CodeGeneratorRequest;

use super::compiler::model;
use super::options;
use super::sources::Sources;
use super::{Builder, Error, generate, modules};
use crate::codegen::descriptor::{Fields, put_bytes, put_number};

/// Answers an encoded `CodeGeneratorRequest` with an encoded `CodeGeneratorResponse`. What is wrong with
/// the request's files is told in the response.
pub(super) fn answer(request: &[u8]) -> Vec<u8> {
    let mut response = Vec::new();
    // In every answer: protoc reads this before it shows an error.
    put_number(2, FEATURE_PROTO3_OPTIONAL | FEATURE_SUPPORTS_EDITIONS, &mut response);
    put_number(3, model::PROTO2 as u64, &mut response);
    put_number(4, model::EDITION_2024 as u64, &mut response);
    match files(request) {
        Ok(files) => {
            for (name, text) in files {
                let mut file = Vec::new();
                put_bytes(1, name.as_bytes(), &mut file);
                put_bytes(15, text.as_bytes(), &mut file);
                put_bytes(15, &file, &mut response);
            }
        }
        Err(error) => put_bytes(1, error.to_string().as_bytes(), &mut response),
    }
    response
}

fn files(bytes: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let request = CodeGeneratorRequest::decode(bytes)
        .map_err(|error| Error::new(format!("the request cannot be read: {error}")))?;
    // From the bytes, since decoding loses options that are extensions.
    let encoded = Fields(bytes).filter(|field| field.number == PROTO_FILE);
    let mut sources = Sources::decode(encoded.map(|field| field.payload))?;
    let mut builder = Builder::new().cargo_directives(false);
    for option in request.parameter().split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        builder = options::apply(builder, name, value)?;
    }
    // Those of packages that were only imported are another run's.
    let wanted: HashSet<Module> = request
        .proto_file
        .iter()
        .filter(|file| request.file_to_generate.iter().any(|name| name == file.name()))
        .map(|file| Module::from_protobuf_package_name(file.package()))
        .collect();
    // A rename may be of something in another run: buf makes one for each folder, with the same options.
    let (files, _) =
        generate::generate(&mut builder, &mut sources, |module| wanted.contains(module))?;
    let mut all: Vec<_> = files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    if let Some(name) = &builder.include_file {
        all.push((name.clone(), modules::include_file(&files, false)));
    }
    Ok(all)
}

/// `CodeGeneratorRequest.proto_file`.
const PROTO_FILE: u64 = 15;
// `CodeGeneratorResponse.Feature`.
const FEATURE_PROTO3_OPTIONAL: u64 = 1;
const FEATURE_SUPPORTS_EDITIONS: u64 = 2;
