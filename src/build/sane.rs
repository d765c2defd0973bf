//! What descriptors of elsewhere have to be, before code is made of them: protoc's are, and nobody else's need be.

use std::collections::HashSet;

use prost_types::field_descriptor_proto::Type;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use super::Error;
use crate::codegen::names;

/// Refuses what no compiler would have written.
pub(super) fn check(files: &[FileDescriptorProto]) -> Result<(), Error> {
    let mut types = Types::default();
    for file in files {
        types.file(file)?;
    }
    for file in files {
        let scope = scope(file);
        for message in &file.message_type {
            types.message(file.name(), &scope, message)?;
        }
        for method in file.service.iter().flat_map(|service| &service.method) {
            for name in [method.input_type(), method.output_type()] {
                if !types.messages.contains(name) {
                    return Err(broken(file.name(), &format!("there is no message {name:?}")));
                }
            }
        }
    }
    Ok(())
}

fn broken(file: &str, what: &str) -> Error {
    Error::new(format!("the descriptor of {file:?} is broken: {what}"))
}

fn scope(file: &FileDescriptorProto) -> String {
    if file.package().is_empty() { String::new() } else { format!(".{}", file.package()) }
}

#[derive(Default)]
struct Types {
    messages: HashSet<String>,
    entries: HashSet<String>,
    enums: HashSet<String>,
    /// By enum, its values: `.p.E.A`.
    values: HashSet<String>,
}

impl Types {
    fn file(&mut self, file: &FileDescriptorProto) -> Result<(), Error> {
        let words = file.package().split('.').filter(|_| !file.package().is_empty());
        let names = file.service.iter().map(|service| service.name());
        let methods =
            file.service.iter().flat_map(|service| &service.method).map(|method| method.name());
        for name in words.chain(names).chain(methods) {
            word(file.name(), name)?;
        }
        let scope = scope(file);
        file.message_type
            .iter()
            .try_for_each(|message| self.name_message(file.name(), &scope, message))?;
        file.enum_type.iter().try_for_each(|it| self.name_enum(file.name(), &scope, it))
    }

    fn name_message(
        &mut self,
        file: &str,
        scope: &str,
        message: &DescriptorProto,
    ) -> Result<(), Error> {
        word(file, message.name())?;
        let name = format!("{scope}.{}", message.name());
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            let is_entry = matches!(&message.field[..], [key, value] if key.name() == "key" && value.name() == "value");
            if !is_entry || !message.nested_type.is_empty() {
                return Err(broken(file, &format!("{name} is no entry of a map")));
            }
            self.entries.insert(name.clone());
        }
        message.nested_type.iter().try_for_each(|nested| self.name_message(file, &name, nested))?;
        message.enum_type.iter().try_for_each(|it| self.name_enum(file, &name, it))?;
        if self.messages.insert(name.clone()) {
            Ok(())
        } else {
            Err(broken(file, &format!("{name} is there twice")))
        }
    }

    fn name_enum(
        &mut self,
        file: &str,
        scope: &str,
        it: &EnumDescriptorProto,
    ) -> Result<(), Error> {
        word(file, it.name())?;
        let name = format!("{scope}.{}", it.name());
        if it.value.is_empty() {
            return Err(broken(file, &format!("{name} has no values")));
        }
        for value in &it.value {
            word(file, value.name())?;
            self.values.insert(format!("{name}.{}", value.name()));
        }
        if self.enums.insert(name.clone()) {
            Ok(())
        } else {
            Err(broken(file, &format!("{name} is there twice")))
        }
    }

    fn message(&self, file: &str, scope: &str, message: &DescriptorProto) -> Result<(), Error> {
        let name = format!("{scope}.{}", message.name());
        let wrong = |field: &FieldDescriptorProto, what: &str| {
            Err(broken(file, &format!("field {:?} of {name}: {what}", field.name())))
        };
        let mut numbers = HashSet::new();
        let mut seen = HashSet::new();
        for field in &message.field {
            word(file, field.name())?;
            let number = field.number();
            if !(1..=MAX_NUMBER).contains(&number)
                || !numbers.insert(number)
                || !seen.insert(field.name())
            {
                return wrong(field, "its number or name is none, or taken");
            }
            if field.r#type.is_none_or(|kind| Type::try_from(kind).is_err())
                || !(1..=3).contains(&field.label.unwrap_or(1))
            {
                return wrong(field, "it has no type or label");
            }
            let type_name = field.type_name();
            let is_there = match field.r#type() {
                Type::Message | Type::Group => self.messages.contains(type_name),
                Type::Enum => self.enums.contains(type_name),
                _ => field.type_name.is_none(),
            };
            if !is_there {
                return wrong(field, &format!("there is no type {type_name:?}"));
            }
            let is_own = type_name
                .strip_prefix(&name[..])
                .is_some_and(|rest| rest.matches('.').count() == 1);
            if self.entries.contains(type_name)
                && !(is_own && field.label == Some(3) && field.oneof_index.is_none())
            {
                return wrong(field, "it is no map, and of a type that only maps have");
            }
            let oneof = field
                .oneof_index
                .map(|at| usize::try_from(at).ok().is_some_and(|at| at < message.oneof_decl.len()));
            if oneof == Some(false) || field.oneof_index.is_some() && field.label == Some(3) {
                return wrong(field, "its oneof is none");
            }
            if field.default_value.is_some() && !self.is_default(field) {
                return wrong(field, "its default is no value of its type");
            }
            if self.entries.contains(&name) && number <= 2 && !is_entry_type(field) {
                return wrong(field, "a map cannot have it");
            }
        }
        for oneof in &message.oneof_decl {
            word(file, oneof.name())?;
        }
        message.nested_type.iter().try_for_each(|nested| self.message(file, &name, nested))
    }

    fn is_default(&self, field: &FieldDescriptorProto) -> bool {
        let text = field.default_value();
        if field.label == Some(3) {
            return false;
        }
        match field.r#type() {
            Type::Int32 | Type::Sint32 | Type::Sfixed32 => text.parse::<i32>().is_ok(),
            Type::Int64 | Type::Sint64 | Type::Sfixed64 => text.parse::<i64>().is_ok(),
            Type::Uint32 | Type::Fixed32 => text.parse::<u32>().is_ok(),
            Type::Uint64 | Type::Fixed64 => text.parse::<u64>().is_ok(),
            Type::Float | Type::Double => text.parse::<f64>().is_ok() && !text.starts_with('+'),
            Type::Bool => text == "true" || text == "false",
            Type::String => true,
            Type::Bytes => is_escaped(text),
            Type::Enum => self.values.contains(&format!("{}.{text}", field.type_name())),
            Type::Message | Type::Group => false,
        }
    }
}

fn is_entry_type(field: &FieldDescriptorProto) -> bool {
    let is_plain =
        field.label == Some(1) && field.default_value.is_none() && field.oneof_index.is_none();
    let kind = field.r#type();
    let is_key = !matches!(
        kind,
        Type::Double | Type::Float | Type::Bytes | Type::Message | Type::Enum | Type::Group
    );
    is_plain
        && kind != Type::Group
        && (field.name() == "value" && field.number() == 2
            || field.name() == "key" && field.number() == 1 && is_key)
}

/// Whether prost-build can read C's escapes in it.
fn is_escaped(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            continue;
        }
        match bytes.next() {
            Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'?' | b'\'' | b'"') => {}
            Some(b'0'..=b'3') => {
                if !(0..2).all(|_| matches!(bytes.next(), Some(b'0'..=b'7'))) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

fn word(file: &str, name: &str) -> Result<(), Error> {
    let is_word = names::is_word(name) || !name.is_empty() && name.bytes().all(|byte| byte == b'_');
    if is_word { Ok(()) } else { Err(broken(file, &format!("{name:?} is no name"))) }
}

const MAX_NUMBER: i32 = 536_870_911;
