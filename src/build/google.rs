//! The files that everybody may import: `google/protobuf/*.proto` of protobuf 35.1, as protoc brings them.
//!
//! Their declarations alone, under protobuf's licence (`google/LICENSE`). Those of a user's folders come first.

macro_rules! files {
    ($($name:literal)*) => {
        /// The text of a file, by the name that imports use.
        pub(super) fn text(name: &str) -> Option<&'static str> {
            match name {
                $(concat!("google/protobuf/", $name) => Some(include_str!(concat!("google/protobuf/", $name))),)*
                _ => None,
            }
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$(concat!("google/protobuf/", $name)),*];
    };
}

files! {
    "any.proto" "api.proto" "compiler/plugin.proto" "cpp_features.proto" "descriptor.proto" "duration.proto"
    "empty.proto" "field_mask.proto" "go_features.proto" "java_features.proto" "source_context.proto" "struct.proto"
    "timestamp.proto" "type.proto" "wrappers.proto"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;

    #[test]
    fn each_file_can_be_imported_and_is_compiled() {
        let folder =
            std::env::temp_dir().join(format!("grpc-threads-google-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let imports: Vec<String> = NAMES.iter().map(|name| format!("import \"{name}\";")).collect();
        std::fs::write(folder.join("all.proto"), imports.concat()).unwrap();
        let builder = Builder::new().compile_well_known_types();
        let files = builder.generate(&[folder.join("all.proto")], &[&folder]).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let names: Vec<&str> = files.iter().map(|file| &file.name[..]).collect();
        assert_eq!(names, ["google.protobuf.rs", "google.protobuf.compiler.rs", "pb.rs"]);
    }
}
