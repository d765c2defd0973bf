//! What no file may say although it can be read: numbers and names that are taken, and features where they mean
//! nothing.
//!
//! § "Protocol Buffers Language Specification"; protoc's `DescriptorBuilder::Validate..`.

use std::collections::{HashMap, HashSet};

use super::features::{self, Features};
use super::link::{Kind, join, json_name};
use super::model::{self, Enum, Field, File, Message, Range};
use super::raw::Notes;
use super::{Fault, Pool, Pos, tag};
use crate::codegen::descriptor::Fields;

pub(super) fn after_options(pool: &Pool, index: u32, notes: &Notes) -> Result<(), Fault> {
    let Some(file) = pool.file(index) else { return Ok(()) };
    let checker = Checker { pool, index, file, notes };
    let features = features::of_file(file);
    for (at, message) in file.message_type.iter().enumerate() {
        checker.message(&[tag::file::MESSAGE, at as i32], message, file.package(), features)?;
    }
    for (at, it) in file.enum_type.iter().enumerate() {
        checker.enumeration(&[tag::file::ENUM, at as i32], it, features)?;
    }
    for (at, field) in file.extension.iter().enumerate() {
        checker.extension(&[tag::file::EXTENSION, at as i32], field, features)?;
    }
    for (at, service) in file.service.iter().enumerate() {
        for (method_at, method) in service.method.iter().enumerate() {
            let path = [tag::file::SERVICE, at as i32, tag::service::METHOD, method_at as i32];
            checker.sees(method.input_type(), &path)?;
            checker.sees(method.output_type(), &path)?;
        }
    }
    Ok(())
}

struct Checker<'c> {
    pool: &'c Pool,
    index: u32,
    file: &'c File,
    notes: &'c Notes,
}

impl Checker<'_> {
    fn wrong<T>(&self, path: &[i32], text: impl Into<String>) -> Result<T, Fault> {
        let pos = self.notes.get(path).map_or(Pos::default(), |note| note.name);
        Err(Fault::new(pos, text))
    }

    fn edition(&self) -> i32 {
        self.file.edition_number()
    }

    fn message(
        &self,
        path: &[i32],
        message: &Message,
        scope: &str,
        outer: Features,
    ) -> Result<(), Fault> {
        let name = join(scope, message.name());
        let features = outer.with(message.options.as_deref(), features::OF_MESSAGE);
        if self.edition() == model::PROTO3 && !message.extension_range.is_empty() {
            return self.wrong(path, format!("'{name}': proto3 has no extension ranges"));
        }
        self.ranges(path, message)?;
        self.numbers(path, message)?;
        self.json_names(path, message, features)?;
        for (at, field) in message.field.iter().enumerate() {
            let path = [path, &[tag::message::FIELD, at as i32]].concat();
            let oneof =
                field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
            let outer =
                features.with(oneof.and_then(|oneof| oneof.options.as_deref()), features::OF_ONEOF);
            if !(1..=tag::MAX_NUMBER).contains(&field.number()) {
                return self.wrong(
                    &path,
                    format!(
                        "the number {} is out of range: 1 to {}",
                        field.number(),
                        tag::MAX_NUMBER
                    ),
                );
            }
            // Of an entry, the features are those of its map.
            let own = if message.is_map_entry() { None } else { Some(outer) };
            self.field(&path, field, outer)?;
            if let Some(outer) = own.filter(|_| self.file.is_editions()) {
                self.features(&path, field, outer)?;
            }
            self.map(&path, field, message, &name)?;
        }
        for (at, field) in message.extension.iter().enumerate() {
            self.extension(
                &[path, &[tag::message::EXTENSION, at as i32]].concat(),
                field,
                features,
            )?;
        }
        for (at, nested) in message.nested_type.iter().enumerate() {
            self.message(
                &[path, &[tag::message::MESSAGE, at as i32]].concat(),
                nested,
                &name,
                features,
            )?;
        }
        for (at, it) in message.enum_type.iter().enumerate() {
            self.enumeration(&[path, &[tag::message::ENUM, at as i32]].concat(), it, features)?;
        }
        Ok(())
    }

    /// Ranges of a message that have a number in common.
    fn ranges(&self, path: &[i32], message: &Message) -> Result<(), Fault> {
        let reserved = message.reserved_range.iter().map(|range| (range, "reserved"));
        let extensions = message.extension_range.iter().map(|range| (range, "of extensions"));
        let mut all: Vec<(&Range, &str)> = reserved.chain(extensions).collect();
        all.sort_by_key(|(range, _)| range.start());
        for pair in all.windows(2) {
            if let [(a, what), (b, other)] = pair {
                if b.start() < a.end() {
                    let number = b.start();
                    return self
                        .wrong(path, format!("the number {number} is {what} and {other} at once"));
                }
            }
        }
        let mut names = HashSet::new();
        match message.reserved_name.iter().find(|name| !names.insert(&name[..])) {
            Some(name) => self.wrong(path, format!("the name '{name}' is reserved twice")),
            None => Ok(()),
        }
    }

    fn numbers(&self, path: &[i32], message: &Message) -> Result<(), Fault> {
        let mut numbers: HashMap<i32, &str> = HashMap::with_capacity(message.field.len());
        for (at, field) in message.field.iter().enumerate() {
            let path = [path, &[tag::message::FIELD, at as i32]].concat();
            let (name, number) = (field.name(), field.number());
            if let Some(other) = numbers.insert(number, name) {
                return self.wrong(
                    &path,
                    format!("the number {number} of '{name}' is that of '{other}', too"),
                );
            }
            if message.reserved_name.iter().any(|reserved| reserved == name) {
                return self.wrong(&path, format!("the name '{name}' is reserved"));
            }
            for (ranges, what) in [
                (&message.reserved_range, "reserved"),
                (&message.extension_range, "one of extensions"),
            ] {
                if ranges.iter().any(|range| (range.start()..range.end()).contains(&number)) {
                    return self.wrong(&path, format!("the number {number} of '{name}' is {what}"));
                }
            }
        }
        Ok(())
    }

    /// Names in JSON that are the same. Of proto2, which lets that pass, only those that were written.
    fn json_names(&self, path: &[i32], message: &Message, features: Features) -> Result<(), Fault> {
        const LEGACY_CONFLICTS: u64 = 11;
        let options = message.options.as_deref().unwrap_or_default();
        let is_legacy =
            Fields(options).any(|option| option.number == LEGACY_CONFLICTS && option.value == 1);
        let strict = features.json == Features::ALLOW && !is_legacy;
        let mut defaults: HashMap<String, &str> = HashMap::new();
        let mut written: HashMap<&str, (&str, bool)> = HashMap::new();
        for (at, field) in message.field.iter().enumerate() {
            let path = [path, &[tag::message::FIELD, at as i32]].concat();
            let (name, json) = (field.name(), field.json_name());
            let default = json_name(name);
            let is_own = json != default;
            if is_own && (json.contains('\0') || json.starts_with('[') && json.ends_with(']')) {
                return self.wrong(&path, format!("{json:?} can be no name in JSON"));
            }
            let clash = |other: &str, json: &str| {
                format!("'{name}' and '{other}' have the same name in JSON, {json:?}")
            };
            if let Some(other) = defaults.get(&default).filter(|_| strict) {
                return self.wrong(&path, clash(other, &default));
            }
            if let Some((other, other_is_own)) = written.get(json) {
                if is_own && *other_is_own || strict && (is_own || *other_is_own) {
                    return self.wrong(&path, clash(other, json));
                }
            }
            defaults.insert(default, name);
            written.insert(json, (name, is_own));
        }
        Ok(())
    }

    fn field(&self, path: &[i32], field: &Field, outer: Features) -> Result<(), Fault> {
        const RESERVED_BY_PROTOBUF: std::ops::RangeInclusive<i32> = 19_000..=19_999;
        let (name, number) = (field.name(), field.number());
        if RESERVED_BY_PROTOBUF.contains(&number) && field.extendee.is_none() {
            return self.wrong(
                path,
                format!("the number {number} of '{name}' is protobuf's own: 19000 to 19999"),
            );
        }
        if let Some(type_name) = &field.type_name {
            self.sees(type_name, path)?;
        }
        self.default(path, field)?;
        let options = field.options.as_deref().unwrap_or_default();
        let packed = Fields(options).find(|option| option.number == 2).map(|option| option.value);
        if packed == Some(1) && !(field.is_repeated() && model::can_pack(field.r#type())) {
            return self
                .wrong(path, format!("'{name}' cannot be packed: only repeated numbers can"));
        }
        if packed.is_some() && self.file.is_editions() {
            return self.wrong(
                path,
                "editions have features.repeated_field_encoding in place of 'packed'",
            );
        }
        self.options(path, field, outer)?;
        if let Some(it) = self.pool.enumeration(field.type_name().trim_start_matches('.')) {
            let symbol = self.pool.symbols.get(field.type_name().trim_start_matches('.'));
            let closed = symbol.is_some_and(|symbol| self.is_closed(it, symbol.file, &symbol.path));
            let own = outer.with(field.options.as_deref(), features::OF_FIELD);
            let implicit = own.presence == Features::IMPLICIT && field.extendee.is_none();
            if closed && implicit && (self.edition() == model::PROTO3 || !field.is_repeated()) {
                let text = format!(
                    "the enum {} of '{name}' is closed, which this field cannot have",
                    field.type_name()
                );
                return self.wrong(path, text);
            }
        }
        Ok(())
    }

    /// Options that only fields of some types may have.
    fn options(&self, path: &[i32], field: &Field, outer: Features) -> Result<(), Fault> {
        let mut is_lazy = [false; 2];
        let mut js_type = 0;
        for option in Fields(field.options.as_deref().unwrap_or_default()) {
            match option.number {
                LAZY => is_lazy[0] = option.value == 1,
                UNVERIFIED_LAZY => is_lazy[1] = option.value == 1,
                JS_TYPE => js_type = option.value,
                _ => {}
            }
        }
        let name = field.name();
        let outer = outer.with(field.options.as_deref(), features::OF_FIELD);
        let is_group = outer.encoding == Features::DELIMITED && !self.is_map_entry(field);
        if is_lazy.contains(&true) && (field.r#type() != model::MESSAGE || is_group) {
            return self.wrong(
                path,
                format!("'{name}' is no message with a length, so it cannot be lazy"),
            );
        }
        if is_lazy[1] && field.extendee.is_some() {
            return self.wrong(path, format!("'{name}': extensions cannot be unverified_lazy"));
        }
        let is_long = matches!(
            field.r#type(),
            model::INT64 | model::UINT64 | model::SINT64 | model::FIXED64 | model::SFIXED64
        );
        if js_type != 0 && !is_long {
            return self.wrong(path, format!("'{name}': only integers of 64 bits have a jstype"));
        }
        Ok(())
    }

    /// Whether an enum knows its own values only.
    fn is_closed(&self, it: &Enum, file: u32, path: &[i32]) -> bool {
        let Some(file) = self.pool.file(file) else { return false };
        let mut features = features::of_file(file);
        let mut end = 2;
        while end + 2 <= path.len() {
            let message = path.get(..end).and_then(|path| tag::message_at(file, path));
            features =
                features.with(message.and_then(|it| it.options.as_deref()), features::OF_MESSAGE);
            end += 2;
        }
        features.with(it.options.as_deref(), features::OF_ENUM).enum_type == Features::CLOSED
    }

    /// Features that a field sets where they mean nothing.
    fn features(&self, path: &[i32], field: &Field, outer: Features) -> Result<(), Fault> {
        let own = Features::default().with(field.options.as_deref(), features::OF_FIELD);
        let all = outer.with(field.options.as_deref(), features::OF_FIELD);
        let name = field.name();
        let is_map = self.is_map_entry(field);
        let what = if own.presence != 0 && field.is_repeated() {
            "only singular fields have a field_presence"
        } else if own.presence != 0 && field.oneof_index.is_some() {
            "fields of a oneof have no field_presence of their own"
        } else if own.presence == Features::REQUIRED && field.extendee.is_some() {
            "extensions cannot be required"
        } else if own.presence == Features::IMPLICIT && field.is_message() {
            "messages have no implicit field_presence"
        } else if own.presence == Features::IMPLICIT && field.extendee.is_some() {
            "extensions have no implicit field_presence"
        } else if own.repeated != 0 && !field.is_repeated() {
            "only repeated fields have a repeated_field_encoding"
        } else if own.repeated == Features::PACKED && !model::can_pack(field.r#type()) {
            "only repeated numbers can be packed"
        } else if own.utf8 != 0 && field.r#type() != model::STRING && !is_map {
            "only strings have a utf8_validation"
        } else if own.encoding != 0 && (!field.is_message() || is_map) {
            "only messages have a message_encoding"
        } else if field.default_value.is_some()
            && all.presence == Features::IMPLICIT
            && field.oneof_index.is_none()
            && field.extendee.is_none()
        {
            "a field with implicit presence has no default"
        } else {
            return Ok(());
        };
        self.wrong(path, format!("'{name}': {what}"))
    }

    fn is_map_entry(&self, field: &Field) -> bool {
        let message = || self.pool.message(field.type_name().trim_start_matches('.'));
        field.r#type() == model::MESSAGE && message().is_some_and(Message::is_map_entry)
    }

    fn default(&self, path: &[i32], field: &Field) -> Result<(), Fault> {
        let Some(default) = &field.default_value else { return Ok(()) };
        let name = field.name();
        if field.is_repeated() {
            return self.wrong(path, format!("'{name}' is repeated, which has no default"));
        }
        if field.is_message() {
            return self.wrong(path, format!("'{name}' is a message, which has no default"));
        }
        if self.edition() == model::PROTO3 {
            return self.wrong(path, format!("'{name}': proto3 has no defaults"));
        }
        if field.r#type() == model::ENUM {
            let it = self.pool.enumeration(field.type_name().trim_start_matches('.'));
            if !it.is_some_and(|it| it.value.iter().any(|value| value.name() == default)) {
                return self.wrong(path, format!("{} has no value '{default}'", field.type_name()));
            }
        }
        Ok(())
    }

    fn map(&self, path: &[i32], field: &Field, message: &Message, name: &str) -> Result<(), Fault> {
        let entry_name = field.type_name().trim_start_matches('.');
        let entry = match self.pool.message(entry_name) {
            Some(entry) if field.r#type() == model::MESSAGE && entry.is_map_entry() => entry,
            _ => return Ok(()),
        };
        let is_own = entry_name == join(name, entry.name())
            && entry.name() == super::parser::entry_name(field.name())
            && field.is_repeated()
            && message.nested_type.iter().any(|nested| nested.name() == entry.name());
        if !is_own {
            return self.wrong(
                path,
                format!("'{entry_name}' is what a map is made of, no type for fields"),
            );
        }
        if let [key, value] = &entry.field[..] {
            if matches!(
                key.r#type(),
                model::DOUBLE
                    | model::FLOAT
                    | model::BYTES
                    | model::MESSAGE
                    | model::GROUP
                    | model::ENUM
            ) {
                return self.wrong(path, "keys of a map are strings, integers or bool");
            }
            let first = self
                .pool
                .enumeration(value.type_name().trim_start_matches('.'))
                .and_then(|it| it.value.first());
            if first.is_some_and(|first| first.number() != 0) {
                return self.wrong(path, "the first value of an enum in a map has to be 0");
            }
        }
        Ok(())
    }

    fn extension(&self, path: &[i32], field: &Field, outer: Features) -> Result<(), Fault> {
        self.field(path, field, outer)?;
        if self.file.is_editions() {
            self.features(path, field, outer)?;
        }
        let (name, number) = (field.name(), field.number());
        let extendee_name = field.extendee().trim_start_matches('.');
        self.sees(field.extendee(), path)?;
        let Some(extendee) = self.pool.message(extendee_name) else { return Ok(()) };
        if field.label() == model::REQUIRED {
            return self.wrong(path, format!("'{name}': extensions cannot be required"));
        }
        if !extendee
            .extension_range
            .iter()
            .any(|range| (range.start()..range.end()).contains(&number))
        {
            return self.wrong(
                path,
                format!("{extendee_name} has no extension range with the number {number}"),
            );
        }
        let is_option =
            extendee_name.starts_with("google.protobuf.") && extendee_name.ends_with("Options");
        if self.edition() == model::PROTO3 && !is_option {
            return self.wrong(path, format!("'{name}': in proto3 only options can be extended"));
        }
        if extendee.is_message_set() && (field.is_repeated() || field.r#type() != model::MESSAGE) {
            return self.wrong(
                path,
                format!("'{name}': extensions of a MessageSet are optional messages"),
            );
        }
        Ok(())
    }

    fn enumeration(&self, path: &[i32], it: &Enum, outer: Features) -> Result<(), Fault> {
        const ALLOW_ALIAS: u64 = 2;
        let options = it.options.as_deref();
        let features = outer.with(options, features::OF_ENUM);
        let first = it.value.first().map_or(0, model::Value::number);
        if features.enum_type == Features::OPEN && first != 0 {
            return self.wrong(
                path,
                format!("the first value of '{}' has to be 0, since it is open", it.name()),
            );
        }
        let alias = Fields(options.unwrap_or_default()).find(|option| option.number == ALLOW_ALIAS);
        let mut numbers: HashMap<i32, &str> = HashMap::with_capacity(it.value.len());
        let mut has_alias = false;
        for (at, value) in it.value.iter().enumerate() {
            let path = [path, &[tag::enumeration::VALUE, at as i32]].concat();
            let (name, number) = (value.name(), value.number());
            if let Some(other) = numbers.insert(number, name) {
                has_alias = true;
                if alias.as_ref().is_none_or(|option| option.value != 1) {
                    let text = format!(
                        "the number {number} of '{name}' is that of '{other}', too; option allow_alias lets that pass"
                    );
                    return self.wrong(&path, text);
                }
            }
            let in_range = |range: &Range| (range.start()..=range.end()).contains(&number);
            if it.reserved_range.iter().any(in_range)
                || it.reserved_name.iter().any(|reserved| reserved == name)
            {
                return self.wrong(&path, format!("'{name}' = {number} is reserved"));
            }
        }
        if alias.is_some_and(|option| option.value == 1) && !has_alias {
            return self.wrong(path, format!("'{}' allows aliases and has none", it.name()));
        }
        let mut ranges: Vec<&Range> = it.reserved_range.iter().collect();
        ranges.sort_by_key(|range| range.start());
        let overlap = ranges.windows(2).find(|pair| matches!(pair, [a, b] if b.start() <= a.end()));
        if overlap.is_some() {
            self.wrong(path, "ranges that are reserved have a number in common")
        } else {
            Ok(())
        }
    }

    /// § Edition 2024: what is local is for its own file.
    fn sees(&self, name: &str, path: &[i32]) -> Result<(), Fault> {
        let name = name.trim_start_matches('.');
        let Some(symbol) = self.pool.symbols.get(name).filter(|symbol| symbol.file != self.index)
        else {
            return Ok(());
        };
        let Some(linked) = self.pool.files.get(symbol.file as usize) else { return Ok(()) };
        let explicit = match symbol.kind {
            Kind::Message => self.pool.message(name).and_then(|it| it.visibility),
            _ => self.pool.enumeration(name).and_then(|it| it.visibility),
        };
        let is_nested = symbol.path.len() > 2;
        let is_local = match (explicit, linked.default_visibility) {
            (Some(visibility), _) => visibility == tag::LOCAL,
            (None, EXPORT_ALL) => false,
            (None, EXPORT_TOP_LEVEL) => is_nested,
            (None, LOCAL_ALL | STRICT) => true,
            (None, _) => linked.file.edition_number() >= model::EDITION_2024 && is_nested,
        };
        if is_local {
            let text = format!(
                "'{name}' is local to '{}'; 'export' would let others use it",
                linked.file.name()
            );
            return self.wrong(path, text);
        }
        Ok(())
    }
}

// Fields of `FieldOptions`.
const LAZY: u64 = 5;
const JS_TYPE: u64 = 6;
const UNVERIFIED_LAZY: u64 = 15;

// `FeatureSet.VisibilityFeature.DefaultSymbolVisibility`.
const EXPORT_ALL: u64 = 1;
const EXPORT_TOP_LEVEL: u64 = 2;
const LOCAL_ALL: u64 = 3;
const STRICT: u64 = 4;
