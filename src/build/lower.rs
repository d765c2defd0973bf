//! From descriptors of any edition to those that prost-build understands: proto2 and proto3, without features.
//!
//! An editions file becomes one of proto3 in which each element says what its features come to: presence by
//! `optional`, delimited messages as groups, packing in so many words. Beside that, whatever prost-build would make
//! wrong or nothing of is told in other words here: names of fields that are one in Rust, defaults by another name of
//! a value. Names on the wire and numbers stay.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use prost_types::source_code_info::Location;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, EnumValueOptions,
    FieldDescriptorProto, FieldOptions, FileDescriptorProto, MessageOptions, MethodDescriptorProto,
    MethodOptions, OneofDescriptorProto, ServiceDescriptorProto, ServiceOptions, SourceCodeInfo,
};

use super::compiler::{Comment, Features, model, tag};
use super::compiler::{OF_FIELD, OF_MESSAGE, OF_ONEOF, features_of_file, is_packed};
use crate::codegen::docs::Docs;
use crate::codegen::names;

/// The comments go into `docs`; where they stood are marks.
pub(super) fn file(
    file: model::File,
    comments: Vec<Comment>,
    docs: &mut Docs,
) -> FileDescriptorProto {
    let features = features_of_file(&file);
    let syntax = if file.edition_number() == model::PROTO2 { "proto2" } else { "proto3" };
    let mut lower = Lower { editions: file.is_editions(), locations: Vec::new(), path: Vec::new() };
    let mut out = FileDescriptorProto {
        name: Some(file.name.unwrap_or_default()),
        // An empty one is none.
        package: file.package.filter(|package| !package.is_empty()),
        syntax: Some(syntax.to_owned()),
        ..Default::default()
    };
    out.message_type =
        lower.each(tag::file::MESSAGE, file.message_type, |lower, it| lower.message(it, features));
    out.enum_type = lower.each(tag::file::ENUM, file.enum_type, Lower::enumeration);
    out.service = lower.each(tag::file::SERVICE, file.service, Lower::service);
    // Every element needs a place, or prost-build gives up.
    let mut comments: HashMap<Box<[i32]>, Comment> =
        comments.into_iter().map(|comment| (comment.path.clone(), comment)).collect();
    let location = |path: Vec<i32>| match comments.remove(&path[..]) {
        Some(comment) => {
            let (leading, trailing) = (comment.leading.as_deref(), comment.trailing.as_deref());
            let mark = docs.add(leading, trailing, &comment.detached);
            Location { path, leading_comments: Some(mark), ..Default::default() }
        }
        None => Location { path, ..Default::default() },
    };
    let location = lower.locations.into_iter().map(location).collect();
    out.source_code_info = Some(SourceCodeInfo { location });
    out
}

struct Lower {
    editions: bool,
    locations: Vec<Vec<i32>>,
    path: Vec<i32>,
}

impl Lower {
    fn each<T, U>(
        &mut self,
        tag: i32,
        items: Vec<T>,
        mut lower: impl FnMut(&mut Self, T) -> U,
    ) -> Vec<U> {
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            self.path.extend([tag, i32::try_from(index).unwrap_or(i32::MAX)]);
            self.locations.push(self.path.clone());
            out.push(lower(self, item));
            self.path.truncate(self.path.len().saturating_sub(2));
        }
        out
    }

    fn message(&mut self, message: model::Message, outer: Features) -> DescriptorProto {
        let features = outer.with(message.options.as_deref(), OF_MESSAGE);
        let is_map_entry = message.is_map_entry();
        let entries: HashSet<String> = message
            .nested_type
            .iter()
            .filter(|it| it.is_map_entry())
            .map(|it| it.name().to_owned())
            .collect();
        let oneofs: Vec<Features> = message
            .oneof_decl
            .iter()
            .map(|it| features.with(it.options.as_deref(), OF_ONEOF))
            .collect();
        let own = RustNames::of(&message);
        let mut out = DescriptorProto { name: message.name, ..Default::default() };
        out.field = self.each(tag::message::FIELD, message.field, |lower, field| {
            let outer =
                field.oneof_index.and_then(|at| oneofs.get(usize::try_from(at).ok()?)).copied();
            let is_map =
                field.type_name().rsplit('.').next().is_some_and(|name| entries.contains(name));
            lower.field(field, outer.unwrap_or(features), is_map || is_map_entry, is_map_entry)
        });
        for (field, name) in out.field.iter_mut().zip(own.fields) {
            field.name = Some(name);
        }
        out.oneof_decl = self
            .each(tag::message::ONEOF, message.oneof_decl, |_, _| OneofDescriptorProto::default());
        for (oneof, name) in out.oneof_decl.iter_mut().zip(own.oneofs) {
            oneof.name = Some(name);
        }
        out.nested_type = self.each(tag::message::MESSAGE, message.nested_type, |lower, it| {
            lower.message(it, features)
        });
        out.enum_type = self.each(tag::message::ENUM, message.enum_type, Self::enumeration);
        let options = message
            .options
            .as_deref()
            .map(|octets| MessageOptions::decode(octets).unwrap_or_default());
        out.options = options.map(|options| MessageOptions {
            deprecated: options.deprecated,
            map_entry: options.map_entry,
            ..Default::default()
        });
        out
    }

    fn field(
        &mut self,
        field: model::Field,
        outer: Features,
        is_map: bool,
        in_entry: bool,
    ) -> FieldDescriptorProto {
        let octets = field.options.as_deref();
        let features = outer.with(octets, OF_FIELD);
        let options = octets
            .map(|octets| FieldOptions::decode(octets).unwrap_or_default())
            .unwrap_or_default();
        let kind = field.r#type();
        let packs = field.is_repeated() && model::can_pack(kind);
        let packed = packs.then(|| is_packed(&field, outer));
        let (mut label, mut kind, mut optional) = (field.label(), kind, field.proto3_optional());
        let in_oneof = field.oneof_index.is_some() && !optional;
        if self.editions && !in_entry {
            if kind == model::MESSAGE && !is_map && features.encoding == Features::DELIMITED {
                kind = model::GROUP;
            }
            if label == model::OPTIONAL && !in_oneof {
                match features.presence {
                    Features::REQUIRED => label = model::REQUIRED,
                    // Messages have it by themselves.
                    Features::EXPLICIT => optional = kind != model::MESSAGE,
                    _ => optional = kind == model::GROUP,
                }
            }
        }
        FieldDescriptorProto {
            name: None,
            number: field.number,
            label: Some(label),
            r#type: Some(kind),
            type_name: field.type_name,
            default_value: field.default_value,
            oneof_index: field.oneof_index,
            proto3_optional: optional.then_some(true),
            // What it would take for the default otherwise is not, where there are other options.
            options: (packed.is_some() || options.deprecated.is_some()).then(|| FieldOptions {
                packed,
                deprecated: options.deprecated,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn enumeration(&mut self, it: model::Enum) -> EnumDescriptorProto {
        let options =
            it.options.as_deref().map(|octets| EnumOptions::decode(octets).unwrap_or_default());
        EnumDescriptorProto {
            name: it.name,
            value: self.each(tag::enumeration::VALUE, it.value, |_, value| {
                let decode = |octets: &[u8]| EnumValueOptions::decode(octets).unwrap_or_default();
                let deprecated =
                    value.options.as_deref().and_then(|octets| decode(octets).deprecated);
                EnumValueDescriptorProto {
                    name: value.name,
                    number: value.number,
                    options: deprecated.map(|yes| EnumValueOptions {
                        deprecated: Some(yes),
                        ..Default::default()
                    }),
                }
            }),
            options: options.map(|options| EnumOptions {
                deprecated: options.deprecated,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn service(&mut self, service: model::Service) -> ServiceDescriptorProto {
        let options = service
            .options
            .as_deref()
            .map(|octets| ServiceOptions::decode(octets).unwrap_or_default());
        ServiceDescriptorProto {
            name: service.name,
            method: self.each(tag::service::METHOD, service.method, |_, method| {
                let decode = |octets: &[u8]| MethodOptions::decode(octets).unwrap_or_default();
                MethodDescriptorProto {
                    name: method.name,
                    input_type: method.input_type,
                    output_type: method.output_type,
                    options: method.options.as_deref().map(decode),
                    client_streaming: method.client_streaming,
                    server_streaming: method.server_streaming,
                }
            }),
            options,
        }
    }
}

/// Names of a message's fields and oneofs, no two of which are one in Rust.
struct RustNames {
    fields: Vec<String>,
    oneofs: Vec<String>,
}

impl RustNames {
    fn of(message: &model::Message) -> Self {
        let types: HashSet<String> = message
            .nested_type
            .iter()
            .filter(|it| !it.is_map_entry())
            .map(|it| names::upper_camel(it.name()))
            .chain(message.enum_type.iter().map(|it| names::upper_camel(it.name())))
            .collect();
        let in_oneof =
            |field: &model::Field| field.oneof_index.filter(|_| !field.proto3_optional());
        // Those that are spelt as Rust does keep their names, whatever the order.
        let mut taken: HashSet<String> = HashSet::new();
        let mut variants: HashMap<i32, HashSet<String>> = HashMap::new();
        let mut fields = vec![None; message.field.len()];
        for exact in [true, false] {
            for (place, field) in
                fields.iter_mut().zip(&message.field).filter(|(place, _)| place.is_none())
            {
                let name = field.name();
                if exact && names::snake(name) != name {
                    continue;
                }
                *place = Some(match in_oneof(field) {
                    Some(oneof) => {
                        free(name, names::upper_camel, variants.entry(oneof).or_default())
                    }
                    None => free(name, names::snake, &mut taken),
                });
            }
        }
        let real: HashSet<i32> = message.field.iter().filter_map(in_oneof).collect();
        let mut types_taken = types.clone();
        let oneofs = message.oneof_decl.iter().enumerate().map(|(index, oneof)| {
            if !i32::try_from(index).is_ok_and(|index| real.contains(&index)) {
                return oneof.name().to_owned();
            }
            let mut number = 1;
            loop {
                let name = numbered(oneof.name(), number);
                let camel = names::upper_camel(&name);
                let type_name =
                    if types.contains(&camel) { format!("{camel}OneOf") } else { camel };
                let field = names::snake(&name);
                if !taken.contains(&field) && !types_taken.contains(&type_name) {
                    taken.insert(field);
                    types_taken.insert(type_name);
                    return name;
                }
                number += 1;
            }
        });
        let oneofs = oneofs.collect();
        Self { fields: fields.into_iter().map(Option::unwrap_or_default).collect(), oneofs }
    }
}

fn numbered(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{}_{number}", name.trim_end_matches('_')) }
}

/// The name, or the first with a number whose spelling is free.
fn free(name: &str, spell: impl Fn(&str) -> String, taken: &mut HashSet<String>) -> String {
    let mut number = 1;
    loop {
        let candidate = numbered(name, number);
        if taken.insert(spell(&candidate)) {
            return candidate;
        }
        number += 1;
    }
}

/// What only all files together show: defaults by a name that Rust has not.
pub(super) fn defaults(files: &mut [FileDescriptorProto]) {
    let mut firsts: HashMap<String, String> = HashMap::new();
    fn of_enum(scope: &str, it: &EnumDescriptorProto, firsts: &mut HashMap<String, String>) {
        let mut seen: HashMap<i32, &str> = HashMap::new();
        for value in &it.value {
            let first = *seen.entry(value.number()).or_insert(value.name());
            if first != value.name() {
                firsts.insert(format!("{scope}.{}.{}", it.name(), value.name()), first.to_owned());
            }
        }
    }
    fn of_message(scope: &str, message: &DescriptorProto, firsts: &mut HashMap<String, String>) {
        let scope = format!("{scope}.{}", message.name());
        message.enum_type.iter().for_each(|it| of_enum(&scope, it, firsts));
        message.nested_type.iter().for_each(|it| of_message(&scope, it, firsts));
    }
    fn set(message: &mut DescriptorProto, firsts: &HashMap<String, String>) {
        for field in &mut message.field {
            if let Some(default) = &field.default_value {
                if let Some(first) = firsts.get(&format!("{}.{default}", field.type_name())) {
                    field.default_value = Some(first.clone());
                }
            }
        }
        message.nested_type.iter_mut().for_each(|it| set(it, firsts));
    }
    for file in files.iter() {
        let scope = file.package.as_ref().map_or(String::new(), |package| format!(".{package}"));
        file.enum_type.iter().for_each(|it| of_enum(&scope, it, &mut firsts));
        file.message_type.iter().for_each(|it| of_message(&scope, it, &mut firsts));
    }
    if !firsts.is_empty() {
        files.iter_mut().flat_map(|file| &mut file.message_type).for_each(|it| set(it, &firsts));
    }
}
