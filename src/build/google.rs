//! The files that everybody may import: `google/protobuf/*.proto` of protobuf 35.1, as protoc brings them.
//!
//! Those of a user's folders come first.

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
