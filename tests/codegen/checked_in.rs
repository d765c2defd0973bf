//! The generated code that the repository has is what the generator writes.

use std::fs;
use std::path::Path;

use grpc_threads::build::Builder;

use crate::support::compare;

#[test]
fn the_examples_code_is_up_to_date() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let proto = examples.join("proto");
    let protos = ["helloworld", "route_guide", "bench", "grpc/testing/test"]
        .map(|name| proto.join(format!("{name}.proto")));
    let files = Builder::new().generate(&protos, &[&proto]).unwrap();
    for file in &files {
        compare(&examples.join("generated").join(&file.name), &file.text);
    }
    let mut there: Vec<_> = fs::read_dir(examples.join("generated"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut written: Vec<_> = files.into_iter().map(|file| file.name).collect();
    written.sort();
    assert_eq!(there, written);
}
