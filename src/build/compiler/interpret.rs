//! Options: from names and values to the octets of the options messages, by the descriptors of the run.
//!
//! § "Protocol Buffers Language Specification", options; protoc's `OptionInterpreter`. What is kept in sources only
//! (`retention = RETENTION_SOURCE`) is left out, as protoc leaves it out of what it hands on.

use super::link::{Kind, View, join};
use super::model::{self, Enum, Field, File, Message};
use super::raw::{Note, Notes, Part, RawOption, RawValue};
use super::tree::{Leaf, Tree};
use super::{DESCRIPTOR, Fault, Pool, Pos, builtin, features, tag, text_format};
use crate::codegen::descriptor::Fields;

/// What options are of: the name of their message, and `FieldOptions.OptionTargetType`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    File = 1,
    ExtensionRange,
    Message,
    Field,
    Oneof,
    Enum,
    Value,
    Service,
    Method,
}

impl Target {
    fn message(self) -> &'static str {
        match self {
            Self::File => "google.protobuf.FileOptions",
            Self::ExtensionRange => "google.protobuf.ExtensionRangeOptions",
            Self::Message => "google.protobuf.MessageOptions",
            Self::Field => "google.protobuf.FieldOptions",
            Self::Oneof => "google.protobuf.OneofOptions",
            Self::Enum => "google.protobuf.EnumOptions",
            Self::Value => "google.protobuf.EnumValueOptions",
            Self::Service => "google.protobuf.ServiceOptions",
            Self::Method => "google.protobuf.MethodOptions",
        }
    }
}

/// The options of one element.
#[derive(Debug)]
pub(super) struct Interpreted {
    path: Vec<i32>,
    target: Target,
    tree: Tree,
    pos: Pos,
}

/// The options of all elements of a file.
pub(super) fn all(pool: &Pool, index: u32, notes: &Notes) -> Result<Vec<Interpreted>, Fault> {
    let mut found = Vec::new();
    let Some(file) = pool.file(index) else { return Ok(found) };
    for (path, target, element) in elements(file, notes) {
        let Some(note) =
            notes.get(&path[..]).filter(|note| !note.options.is_empty() || note.has_options)
        else {
            continue;
        };
        let reader = Reader::new(pool, index);
        let tree = reader.options(note, target, &element)?;
        let pos = note.options.first().map_or(note.name, |option| option.pos);
        found.push(Interpreted { path, target, tree, pos });
    }
    Ok(found)
}

/// Each element that may have options, with its full name.
fn elements(file: &File, notes: &Notes) -> Vec<(Vec<i32>, Target, String)> {
    let mut out = vec![(Vec::new(), Target::File, join(file.package(), "file"))];
    let mut walk = Walk { out: &mut out, notes };
    let package = file.package();
    for (at, message) in file.message_type.iter().enumerate() {
        walk.message(&[tag::file::MESSAGE, at as i32], message, package);
    }
    for (at, it) in file.enum_type.iter().enumerate() {
        walk.enumeration(&[tag::file::ENUM, at as i32], it, package);
    }
    walk.fields(&[], tag::file::EXTENSION, &file.extension, package);
    for (at, service) in file.service.iter().enumerate() {
        let path = [tag::file::SERVICE, at as i32];
        let name = join(package, service.name());
        walk.put(&path, Target::Service, || name.clone());
        for (at, method) in service.method.iter().enumerate() {
            let path = [&path[..], &[tag::service::METHOD, at as i32]].concat();
            walk.put(&path, Target::Method, || join(&name, method.name()));
        }
    }
    out
}

struct Walk<'w> {
    out: &'w mut Vec<(Vec<i32>, Target, String)>,
    notes: &'w Notes,
}

impl Walk<'_> {
    fn put(&mut self, path: &[i32], target: Target, name: impl FnOnce() -> String) {
        let has = |note: &Note| !note.options.is_empty() || note.has_options;
        if self.notes.get(path).is_some_and(has) {
            self.out.push((path.to_vec(), target, name()));
        }
    }

    fn message(&mut self, path: &[i32], message: &Message, scope: &str) {
        let name = join(scope, message.name());
        self.put(path, Target::Message, || name.clone());
        self.fields(path, tag::message::FIELD, &message.field, &name);
        self.fields(path, tag::message::EXTENSION, &message.extension, &name);
        for (at, nested) in message.nested_type.iter().enumerate() {
            self.message(&[path, &[tag::message::MESSAGE, at as i32]].concat(), nested, &name);
        }
        for (at, it) in message.enum_type.iter().enumerate() {
            self.enumeration(&[path, &[tag::message::ENUM, at as i32]].concat(), it, &name);
        }
        for (at, oneof) in message.oneof_decl.iter().enumerate() {
            let path = [path, &[tag::message::ONEOF, at as i32]].concat();
            self.put(&path, Target::Oneof, || join(&name, oneof.name()));
        }
        for at in 0..message.extension_range.len() {
            let path = [path, &[tag::message::EXTENSION_RANGE, at as i32]].concat();
            self.put(&path, Target::ExtensionRange, || name.clone());
        }
    }

    fn fields(&mut self, path: &[i32], tag: i32, fields: &[Field], scope: &str) {
        for (at, field) in fields.iter().enumerate() {
            let path = [path, &[tag, at as i32]].concat();
            self.put(&path, Target::Field, || join(scope, field.name()));
        }
    }

    fn enumeration(&mut self, path: &[i32], it: &Enum, scope: &str) {
        self.put(path, Target::Enum, || join(scope, it.name()));
        for (at, value) in it.value.iter().enumerate() {
            let path = [path, &[tag::enumeration::VALUE, at as i32]].concat();
            self.put(&path, Target::Value, || join(scope, value.name()));
        }
    }
}

/// Where descriptors of options are looked for.
pub(super) struct Reader<'p> {
    pool: &'p Pool,
    /// That of the options themselves: the run's, if it has them.
    schema: &'p Pool,
    view: View,
    edition: i32,
}

impl<'p> Reader<'p> {
    pub(super) fn new(pool: &'p Pool, index: u32) -> Self {
        let schema = if pool.by_name.contains_key(DESCRIPTOR) { pool } else { builtin() };
        let edition = pool.file(index).map_or(0, File::edition_number);
        Self { pool, schema, view: View { file: index, of_options: true }, edition }
    }

    pub(super) fn message(&self, name: &str) -> Option<&'p Message> {
        self.schema.message(name).or_else(|| self.pool.message(name))
    }

    pub(super) fn enumeration(&self, name: &str) -> Option<&'p Enum> {
        self.schema.enumeration(name).or_else(|| self.pool.enumeration(name))
    }

    /// An extension by the name that is written, inside of `element`.
    pub(super) fn extension(
        &self,
        name: &str,
        element: &str,
        pos: Pos,
    ) -> Result<&'p Field, Fault> {
        match self.pool.look_up(name, element, self.view, false) {
            Ok((full, symbol)) if symbol.kind == Kind::Extension => self
                .pool
                .extension(&full)
                .ok_or_else(|| Fault::new(pos, format!("'{name}' is not defined"))),
            Ok(_) => Err(Fault::new(pos, format!("'{name}' is no extension"))),
            Err(unknown) => Err(self.pool.unknown(name, &unknown, pos)),
        }
    }

    /// A message of the run, by its full name: for what `Any` holds.
    pub(super) fn any(&self, name: &str) -> Option<&'p Message> {
        self.pool.message(name)
    }

    /// Whether a repeated field of `message`, or an extension, is packed: by its own option, else by the file that has it.
    pub(super) fn is_packed(&self, message: &str, field: &Field) -> bool {
        features::is_packed(field, self.features_around(message, field))
    }

    /// The features of the file that has a field of `message`, or an extension.
    fn features_around(&self, message: &str, field: &Field) -> features::Features {
        let key =
            field.extendee.as_ref().map(|it| (it.trim_start_matches('.').into(), field.number()));
        let extension = key.and_then(|key| self.pool.extensions.get(&key)).map(|name| &name[..]);
        let name = extension.unwrap_or(message);
        let file =
            |pool: &'p Pool| pool.symbols.get(name).and_then(|symbol| pool.file(symbol.file));
        match file(self.pool).or_else(|| file(self.schema)) {
            Some(file) => features::of_file(file),
            None => features::Features::of_edition(model::PROTO2),
        }
    }

    fn options(&self, note: &Note, target: Target, element: &str) -> Result<Tree, Fault> {
        let mut tree = Tree::default();
        for option in &note.options {
            self.option(option, target, element, &mut tree)?;
        }
        Ok(tree)
    }

    fn option(
        &self,
        option: &RawOption,
        target: Target,
        element: &str,
        tree: &mut Tree,
    ) -> Result<(), Fault> {
        let wrong = |text: String| Fault::new(option.pos, text);
        let mut message = target.message();
        let mut tree = tree;
        let Some((last, path)) = option.name.split_last() else { return Ok(()) };
        if let [Part { name, is_extension: false }, ..] = &option.name[..] {
            if name == "uninterpreted_option" {
                return Err(wrong("'uninterpreted_option' is no option to be set".to_owned()));
            }
        }
        for part in path {
            let field = self.part(part, message, element, option.pos)?;
            if field.is_repeated() || !field.is_message() {
                let what = if field.is_repeated() { "is repeated" } else { "is no message" };
                return Err(wrong(format!("'{}' {what}, so nothing in it can be set", part.name)));
            }
            message = field.type_name().trim_start_matches('.');
            let branch = tree.branch(field, false);
            if branch.values.is_empty() {
                branch.values.push(Leaf::Message(Tree::of(self.message(message))));
            }
            let Some(Leaf::Message(inner)) = branch.values.first_mut() else { return Ok(()) };
            tree = inner;
        }
        let field = self.part(last, message, element, option.pos)?;
        let packed = self.is_packed(message, field);
        let there = tree
            .fields
            .get(&(field.number() as u32))
            .is_some_and(|branch| !branch.values.is_empty());
        if there && !field.is_repeated() {
            return Err(wrong(format!("the option '{}' is set already", spelt(&option.name))));
        }
        let value = self.value(field, option)?;
        tree.branch(field, packed).values.push(value);
        Ok(())
    }

    fn part(
        &self,
        part: &Part,
        message: &str,
        element: &str,
        pos: Pos,
    ) -> Result<&'p Field, Fault> {
        if part.is_extension {
            let field = self.extension(&part.name, element, pos)?;
            let extendee = field.extendee().trim_start_matches('.');
            if extendee != message {
                return Err(Fault::new(
                    pos,
                    format!("'{}' extends {extendee}, not {message}", part.name),
                ));
            }
            return Ok(field);
        }
        let field = self
            .message(message)
            .and_then(|it| it.field.iter().find(|field| field.name() == part.name));
        field.ok_or_else(|| {
            Fault::new(pos, format!("the option '{}' is unknown in {message}", part.name))
        })
    }

    fn value(&self, field: &Field, option: &RawOption) -> Result<Leaf, Fault> {
        let name = || spelt(&option.name);
        let wrong = |what: &str| {
            Fault::new(
                option.pos,
                format!("the option '{}' is {what}, not {}", name(), option.value.quote()),
            )
        };
        match (field.r#type(), &option.value) {
            (model::MESSAGE | model::GROUP, RawValue::Braces(tokens)) => {
                let message = field.type_name().trim_start_matches('.');
                text_format::read(self, message, tokens, option.pos).map(Leaf::Message)
            }
            (model::MESSAGE | model::GROUP, _) => Err(wrong("a message in braces")),
            (model::ENUM, RawValue::Word(word)) => {
                let name = field.type_name().trim_start_matches('.');
                self.enum_value(name, word).ok_or_else(|| wrong(&format!("a value of {name}")))
            }
            (model::ENUM, _) => Err(wrong("the name of an enum's value")),
            (kind, value) => scalar(kind, value, false).map_err(wrong),
        }
    }

    pub(super) fn enum_value(&self, name: &str, word: &str) -> Option<Leaf> {
        let values = &self.enumeration(name)?.value;
        let value = values.iter().find(|value| value.name() == word)?;
        Some(Leaf::Number(i64::from(value.number()) as u64))
    }
}

fn spelt(name: &[Part]) -> String {
    let parts = name.iter().map(|part| match part.is_extension {
        true => format!("({})", part.name),
        false => part.name.clone(),
    });
    parts.collect::<Vec<_>>().join(".")
}

/// A value that is neither message nor enum; else what it should have been. In the text format more is allowed.
pub(super) fn scalar(kind: i32, value: &RawValue, in_text: bool) -> Result<Leaf, &'static str> {
    let signed = |max: u64| match *value {
        RawValue::Int(value) if value <= max => Some(value as i64),
        RawValue::Negative(value) if value <= max + 1 => Some((value as i64).wrapping_neg()),
        _ => None,
    };
    let unsigned = |max: u64| match *value {
        RawValue::Int(value) if value <= max => Some(value),
        RawValue::Negative(0) => Some(0),
        _ => None,
    };
    let number = match kind {
        model::INT32 | model::SFIXED32 => {
            signed(i32::MAX as u64).map(|it| it as u64).ok_or("an int32")
        }
        model::INT64 | model::SFIXED64 => {
            signed(i64::MAX as u64).map(|it| it as u64).ok_or("an int64")
        }
        model::SINT32 | model::SINT64 => {
            let max = if kind == model::SINT32 { i32::MAX as u64 } else { i64::MAX as u64 };
            signed(max).map(|it| (it << 1 ^ it >> 63) as u64).ok_or("a signed integer")
        }
        model::UINT32 | model::FIXED32 => unsigned(u64::from(u32::MAX)).ok_or("a uint32"),
        model::UINT64 | model::FIXED64 => unsigned(u64::MAX).ok_or("a uint64"),
        model::BOOL => match value {
            RawValue::Word(word)
                if word == "true" || in_text && (word == "t" || word == "True") =>
            {
                Ok(1)
            }
            RawValue::Word(word)
                if word == "false" || in_text && (word == "f" || word == "False") =>
            {
                Ok(0)
            }
            RawValue::Int(value @ 0..=1) if in_text => Ok(*value),
            _ => Err("'true' or 'false'"),
        },
        model::DOUBLE | model::FLOAT => {
            let value = match value {
                RawValue::Float(value) => *value,
                RawValue::Int(value) => *value as f64,
                RawValue::Negative(value) => -(*value as f64),
                RawValue::Word(word) if word == "inf" => f64::INFINITY,
                RawValue::Word(word) if word == "nan" => f64::NAN,
                RawValue::Word(word) if in_text && word.eq_ignore_ascii_case("inf") => {
                    f64::INFINITY
                }
                RawValue::Word(word) if in_text && word.eq_ignore_ascii_case("infinity") => {
                    f64::INFINITY
                }
                RawValue::Word(word) if in_text && word.eq_ignore_ascii_case("nan") => f64::NAN,
                _ => return Err("a number"),
            };
            let narrow = kind == model::FLOAT;
            Ok(if narrow { u64::from((value as f32).to_bits()) } else { value.to_bits() })
        }
        model::STRING | model::BYTES => match value {
            // Not asked whether it is UTF-8, as by protoc.
            RawValue::Text(text) => return Ok(Leaf::Octets(text.clone())),
            _ => Err("a string"),
        },
        _ => Err("of another type"),
    };
    number.map(Leaf::Number)
}

impl Pool {
    /// Encodes options and puts them where they belong.
    pub(super) fn write_options(
        &mut self,
        index: u32,
        options: Vec<Interpreted>,
    ) -> Result<(), Fault> {
        // What options of this file say of options that it defines itself has to be there before it is asked for.
        let defines = self.file(index).is_some_and(|file| {
            !file.extension.is_empty()
                || file.message_type.iter().any(|it| !it.extension.is_empty())
                || file.name() == DESCRIPTOR
        });
        if defines {
            for option in &options {
                self.put_options(index, &option.path, Some(option.tree.encode()));
            }
        }
        let mut encoded = Vec::with_capacity(options.len());
        for option in options {
            let mut tree = option.tree;
            if option.target == Target::File {
                if let Some(linked) = self.files.get_mut(index as usize) {
                    linked.default_visibility = features::default_visibility(&tree);
                }
            }
            let reader = Reader::new(self, index);
            let had = !tree.fields.is_empty();
            reader.settle(option.target.message(), &mut tree, option.target, option.pos)?;
            // Of an element with nothing but options for sources protoc hands no options on.
            let gone = had && tree.fields.is_empty();
            encoded.push((option.path, (!gone).then(|| tree.encode())));
        }
        for (path, octets) in encoded {
            self.put_options(index, &path, octets);
        }
        Ok(())
    }

    fn put_options(&mut self, index: u32, path: &[i32], octets: Option<Vec<u8>>) {
        if let Some(linked) = self.files.get_mut(index as usize) {
            if let Some(place) = place(&mut linked.file, path) {
                *place = octets;
            }
        }
    }
}

impl Reader<'_> {
    /// Refuses what the element or the edition may not have, leaves out what is for sources only, and finds how all else
    /// goes on the wire, which options of the same file may say.
    fn settle(
        &self,
        message: &str,
        tree: &mut Tree,
        target: Target,
        pos: Pos,
    ) -> Result<(), Fault> {
        let mut gone = Vec::new();
        tree.is_message_set = self.message(message).is_some_and(Message::is_message_set);
        for (&number, branch) in &mut tree.fields {
            // Another file's extension may have the number, too.
            let field = self.field(message, number);
            let Some(field) = field.filter(|field| field.r#type() == branch.kind) else { continue };
            let rules = Rules::read(field.options.as_deref().unwrap_or_default());
            let name = field.name();
            if !rules.targets.is_empty() && !rules.targets.contains(&(target as u64)) {
                return Err(Fault::new(
                    pos,
                    format!("the option '{name}' is none of this kind of element"),
                ));
            }
            let edition = self.edition as u64;
            if rules.introduced.is_some_and(|introduced| edition < introduced) {
                return Err(Fault::new(
                    pos,
                    format!("the option '{name}' is not in this edition or syntax yet"),
                ));
            }
            if rules.removed.is_some_and(|removed| edition >= removed) {
                return Err(Fault::new(
                    pos,
                    format!("the option '{name}' is not in this edition any more"),
                ));
            }
            if rules.source_only {
                gone.push(number);
                continue;
            }
            if branch.kind == model::MESSAGE && self.is_delimited(message, field) {
                branch.kind = model::GROUP;
            }
            branch.packed =
                branch.repeated && model::can_pack(branch.kind) && self.is_packed(message, field);
            let inner = branch.type_name.clone();
            for value in &mut branch.values {
                if let Leaf::Message(tree) = value {
                    self.settle(&inner, tree, target, pos)?;
                }
            }
        }
        gone.iter().for_each(|number| drop(tree.fields.remove(number)));
        Ok(())
    }

    /// Whether a message of an editions file goes on the wire as a group does.
    fn is_delimited(&self, message: &str, field: &Field) -> bool {
        let features =
            self.features_around(message, field).with(field.options.as_deref(), features::OF_FIELD);
        let inner = self.message(field.type_name().trim_start_matches('.'));
        features.encoding == features::Features::DELIMITED
            && !inner.is_some_and(Message::is_map_entry)
    }

    fn field(&self, message: &str, number: u32) -> Option<&Field> {
        let number = number as i32;
        let known = self
            .message(message)
            .and_then(|it| it.field.iter().find(|field| field.number() == number));
        known.or_else(|| self.pool.extension(self.pool.extensions.get(&(message.into(), number))?))
    }
}

/// What `FieldOptions` says of an option.
#[derive(Default)]
struct Rules {
    source_only: bool,
    targets: Vec<u64>,
    introduced: Option<u64>,
    removed: Option<u64>,
}

impl Rules {
    fn read(options: &[u8]) -> Self {
        let mut rules = Self::default();
        for field in Fields(options) {
            match field.number {
                RETENTION => rules.source_only = field.value == 2,
                TARGETS => rules.targets.push(field.value),
                FEATURE_SUPPORT => {
                    for field in Fields(field.payload) {
                        match field.number {
                            1 => rules.introduced = Some(field.value),
                            4 => rules.removed = Some(field.value),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        rules
    }
}

// Fields of `FieldOptions`.
const RETENTION: u64 = 17;
const TARGETS: u64 = 19;
const FEATURE_SUPPORT: u64 = 22;

/// The options of the element with this path.
fn place<'f>(file: &'f mut File, path: &[i32]) -> Option<&'f mut Option<Vec<u8>>> {
    fn at<T>(list: &mut [T], index: i32) -> Option<&mut T> {
        list.get_mut(usize::try_from(index).ok()?)
    }
    fn in_enum<'f>(it: &'f mut Enum, rest: &[i32]) -> Option<&'f mut Option<Vec<u8>>> {
        match *rest {
            [] => Some(&mut it.options),
            [tag::enumeration::VALUE, index] => at(&mut it.value, index).map(|it| &mut it.options),
            _ => None,
        }
    }
    fn in_message<'f>(message: &'f mut Message, rest: &[i32]) -> Option<&'f mut Option<Vec<u8>>> {
        match *rest {
            [] => Some(&mut message.options),
            [tag::message::FIELD, index] => at(&mut message.field, index).map(|it| &mut it.options),
            [tag::message::EXTENSION, index] => {
                at(&mut message.extension, index).map(|it| &mut it.options)
            }
            [tag::message::ONEOF, index] => {
                at(&mut message.oneof_decl, index).map(|it| &mut it.options)
            }
            [tag::message::EXTENSION_RANGE, index] => {
                at(&mut message.extension_range, index).map(|it| &mut it.options)
            }
            [tag::message::MESSAGE, index, ref rest @ ..] => {
                in_message(at(&mut message.nested_type, index)?, rest)
            }
            [tag::message::ENUM, index, ref rest @ ..] => {
                in_enum(at(&mut message.enum_type, index)?, rest)
            }
            _ => None,
        }
    }
    match *path {
        [] => Some(&mut file.options),
        [tag::file::MESSAGE, index, ref rest @ ..] => {
            in_message(at(&mut file.message_type, index)?, rest)
        }
        [tag::file::ENUM, index, ref rest @ ..] => in_enum(at(&mut file.enum_type, index)?, rest),
        [tag::file::EXTENSION, index] => at(&mut file.extension, index).map(|it| &mut it.options),
        [tag::file::SERVICE, index] => at(&mut file.service, index).map(|it| &mut it.options),
        [tag::file::SERVICE, index, tag::service::METHOD, method] => {
            at(&mut at(&mut file.service, index)?.method, method).map(|it| &mut it.options)
        }
        _ => None,
    }
}
