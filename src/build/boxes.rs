//! Fields that have to be in a `Box`, since their message would be without end else, and of which prost-build does not
//! know: groups that lead back to the message they are in. Of messages it knows itself.

use std::collections::{HashMap, HashSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorProto};

/// By the message that has them: type, whether it is a group, and path.
type Edges = HashMap<String, Vec<(String, bool, String)>>;

/// Paths of such fields.
pub(super) fn needed(files: &[FileDescriptorProto]) -> Vec<String> {
    let mut edges = Edges::new();
    for file in files {
        let scope =
            if file.package().is_empty() { String::new() } else { format!(".{}", file.package()) };
        file.message_type.iter().for_each(|message| collect(&scope, message, &mut edges));
    }
    let groups = edges.iter().flat_map(|(message, fields)| {
        fields
            .iter()
            .filter(|(_, is_group, _)| *is_group)
            .map(move |(kind, _, path)| (message, kind, path))
    });
    let mut found: Vec<String> = groups
        .filter(|(message, kind, _)| leads(&edges, kind, message))
        .map(|(_, _, path)| path.clone())
        .collect();
    found.sort();
    found
}

fn collect(scope: &str, message: &DescriptorProto, edges: &mut Edges) {
    let name = format!("{scope}.{}", message.name());
    for field in &message.field {
        let is_group = field.r#type() == Type::Group;
        if field.label() == Label::Repeated || !(is_group || field.r#type() == Type::Message) {
            continue;
        }
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
        let oneof = oneof.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
        let path = match oneof {
            Some(oneof) => format!("{name}.{}.{}", oneof.name(), field.name()),
            None => format!("{name}.{}", field.name()),
        };
        edges.entry(name.clone()).or_default().push((field.type_name().to_owned(), is_group, path));
    }
    message.nested_type.iter().for_each(|nested| collect(&name, nested, edges));
}

fn leads(edges: &Edges, from: &str, to: &str) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        if seen.insert(next) {
            open.extend(edges.get(next).into_iter().flatten().map(|(kind, _, _)| &kind[..]));
        }
    }
    false
}
