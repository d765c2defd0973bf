//! What the crate `prost-types` has of `google.protobuf`: the code would name what it has not.

use prost_types::{DescriptorProto, FileDescriptorProto};

use super::Error;
use super::compiler::tag;
use super::sources::{Places, Sources};

/// Refuses what would not compile. `elsewhere` are full names with a leading dot.
pub(super) fn check(sources: &Sources, elsewhere: &[String]) -> Result<(), Error> {
    if !elsewhere.iter().any(|name| name == super::WELL_KNOWN) {
        return Ok(());
    }
    let others: Vec<&str> =
        elsewhere.iter().map(|name| &name[..]).filter(|name| *name != super::WELL_KNOWN).collect();
    for (file, places) in sources.descriptors.iter().zip(&sources.places) {
        Walk { places, others: &others, path: Vec::new() }.file(file)?;
    }
    Ok(())
}

struct Walk<'w> {
    places: &'w Places,
    /// Full names of what the user has somewhere, with all below.
    others: &'w [&'w str],
    path: Vec<i32>,
}

impl Walk<'_> {
    fn is_elsewhere(&self, name: &str) -> bool {
        self.others.iter().any(|other| below(name, other).is_some())
    }

    fn file(&mut self, file: &FileDescriptorProto) -> Result<(), Error> {
        let package = format!(".{}", file.package());
        let has_types = !file.message_type.is_empty() || !file.enum_type.is_empty();
        if let Some(rest) = below(&package, super::WELL_KNOWN) {
            // Of google's own nothing is made but services.
            if has_types && !matches!(rest, "" | "compiler") && !self.is_elsewhere(&package) {
                return Err(self.lacks("package", &package));
            }
        } else {
            self.path.extend([tag::file::MESSAGE, 0]);
            self.messages(&file.message_type)?;
            self.path.clear();
        }
        for (at, service) in file.service.iter().enumerate() {
            for (method_at, method) in service.method.iter().enumerate() {
                self.path = [tag::file::SERVICE, at as i32, tag::service::METHOD, method_at as i32]
                    .to_vec();
                self.uses(method.input_type())?;
                self.uses(method.output_type())?;
            }
        }
        Ok(())
    }

    /// The last number of the path is theirs.
    fn messages(&mut self, messages: &[DescriptorProto]) -> Result<(), Error> {
        for (at, message) in messages.iter().enumerate() {
            if let Some(last) = self.path.last_mut() {
                *last = at as i32;
            }
            let depth = self.path.len();
            for (at, field) in message.field.iter().enumerate() {
                self.path.extend([tag::message::FIELD, at as i32]);
                self.uses(field.type_name())?;
                self.path.truncate(depth);
            }
            self.path.extend([tag::message::MESSAGE, 0]);
            self.messages(&message.nested_type)?;
            self.path.truncate(depth);
        }
        Ok(())
    }

    fn uses(&self, name: &str) -> Result<(), Error> {
        match below(name, super::WELL_KNOWN) {
            Some(rest) if !has(rest) && !self.is_elsewhere(name) => Err(self.lacks("type", name)),
            _ => Ok(()),
        }
    }

    fn lacks(&self, what: &str, name: &str) -> Error {
        Error::new(format!(
            "{}: the {what} {} is not in the crate prost-types; compile_well_known_types(), or --well-known-types, \
             generates it",
            self.places.of(&self.path),
            name.trim_start_matches('.')
        ))
    }
}

/// What follows `prefix`, if the name is that or below it.
fn below<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let rest = name.strip_prefix(prefix)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// Whether prost-types 0.14 has it.
fn has(name: &str) -> bool {
    let is_one_of = |list: &[&str]| list.iter().any(|it| below(name, it).is_some());
    is_one_of(&TYPES) && !is_one_of(&LACKING)
}

/// With what is in them.
const TYPES: [&str; 52] = [
    "Any",
    "Api",
    "BoolValue",
    "BytesValue",
    "DescriptorProto",
    "DoubleValue",
    "Duration",
    "Empty",
    "Enum",
    "EnumDescriptorProto",
    "EnumOptions",
    "EnumValue",
    "EnumValueDescriptorProto",
    "EnumValueOptions",
    "ExtensionRangeOptions",
    "Field",
    "FieldDescriptorProto",
    "FieldMask",
    "FieldOptions",
    "FileDescriptorProto",
    "FileDescriptorSet",
    "FileOptions",
    "FloatValue",
    "GeneratedCodeInfo",
    "Int32Value",
    "Int64Value",
    "ListValue",
    "MessageOptions",
    "Method",
    "MethodDescriptorProto",
    "MethodOptions",
    "Mixin",
    "NullValue",
    "OneofDescriptorProto",
    "OneofOptions",
    "Option",
    "ServiceDescriptorProto",
    "ServiceOptions",
    "SourceCodeInfo",
    "SourceContext",
    "StringValue",
    "Struct",
    "Syntax",
    "Timestamp",
    "Type",
    "UInt32Value",
    "UInt64Value",
    "UninterpretedOption",
    "Value",
    "compiler.CodeGeneratorRequest",
    "compiler.CodeGeneratorResponse",
    "compiler.Version",
];

/// What is in some of them, and newer.
const LACKING: [&str; 7] = [
    "ExtensionRangeOptions.Declaration",
    "ExtensionRangeOptions.VerificationState",
    "FieldOptions.EditionDefault",
    "FieldOptions.FeatureSupport",
    "FieldOptions.OptionRetention",
    "FieldOptions.OptionTargetType",
    "GeneratedCodeInfo.Annotation.Semantic",
];
