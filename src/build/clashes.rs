//! Names of `.proto` files that are one name in Rust, or none: told before anything is written.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost_build::Module;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use super::Error;
use super::compiler::tag;
use super::sources::{Places, Sources};
use crate::codegen::names;

/// What the modules have in them, by their paths.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: HashMap<String, BTreeMap<String, Item>>,
}

#[derive(Debug)]
struct Item {
    /// `message shop.Order`.
    what: String,
    place: String,
    is_module: bool,
}

/// Which parts of the files become code, and how.
pub(super) struct Rules<'r> {
    /// Full names with a leading dot, of which those below are elsewhere, too.
    pub(super) elsewhere: &'r [String],
    pub(super) strip_enum_prefix: bool,
}

impl Items {
    /// Everything the files will have in Rust, or the first two that cannot be together.
    pub(super) fn of(sources: &Sources, rules: &Rules<'_>) -> Result<Self, Error> {
        let mut items = Self::default();
        for (file, places) in sources.descriptors.iter().zip(&sources.places) {
            Walk { items: &mut items, places, rules, path: Vec::new() }.file(file)?;
        }
        Ok(items)
    }

    /// The names that a module has already.
    pub(super) fn names(&self, module: &Module) -> HashSet<String> {
        let path = module.parts().collect::<Vec<_>>().join("::");
        self.items.get(&path).into_iter().flat_map(|items| items.keys().cloned()).collect()
    }
}

struct Walk<'w> {
    items: &'w mut Items,
    places: &'w Places,
    rules: &'w Rules<'w>,
    path: Vec<i32>,
}

impl Walk<'_> {
    fn each<T>(
        &mut self,
        tag: i32,
        list: &[T],
        mut each: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for (index, item) in list.iter().enumerate() {
            self.path.extend([tag, i32::try_from(index).unwrap_or(i32::MAX)]);
            each(self, item)?;
            self.path.truncate(self.path.len().saturating_sub(2));
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.places.of(&self.path)
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        let is_below = |prefix: &String| {
            name.strip_prefix(&prefix[..])
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.rules.elsewhere.iter().any(is_below)
    }

    fn file(&mut self, file: &FileDescriptorProto) -> Result<(), Error> {
        let package = file.package();
        if let Some(part) = package.split('.').find(|part| !part.is_empty() && nameless(part)) {
            return Err(self.nothing("package", package, part));
        }
        let has_code =
            !file.message_type.is_empty() || !file.enum_type.is_empty() || !file.service.is_empty();
        let module = Module::from_protobuf_package_name(package);
        let parts: Vec<&str> = module.parts().collect();
        // A package may have the module of a message for its own, so it does not clash with one.
        if let (Some((last, outer)), true) = (parts.split_last(), has_code) {
            let outer = outer.join("::");
            if let Some(other) = self.items.items.get(&outer).and_then(|items| items.get(*last)) {
                if !other.is_module {
                    return Err(self.clash(&format!("package {package}"), last, other));
                }
            }
        }
        let module = parts.join("::");
        let scope = if package.is_empty() { String::new() } else { format!(".{package}") };
        self.each(tag::file::MESSAGE, &file.message_type, |walk, it| {
            walk.message(&module, &scope, it)
        })?;
        self.each(tag::file::ENUM, &file.enum_type, |walk, it| {
            walk.enumeration(&module, &scope, it)
        })?;
        self.each(tag::file::SERVICE, &file.service, |walk, service| {
            walk.named("service", &scope, service.name())?;
            let scope = format!("{scope}.{}", service.name());
            walk.each(tag::service::METHOD, &service.method, |walk, method| {
                walk.named("method", &scope, method.name())
            })
        })
    }

    /// Refuses names without a letter or digit.
    fn named(&self, kind: &str, scope: &str, name: &str) -> Result<(), Error> {
        if nameless(name) {
            Err(self.nothing(kind, &format!("{scope}.{name}"), name))
        } else {
            Ok(())
        }
    }

    fn nothing(&self, kind: &str, full: &str, name: &str) -> Error {
        let full = full.trim_start_matches('.');
        Error::new(format!(
            "{}: {kind} {full}: {name:?} leaves nothing to spell a name in Rust with",
            self.place()
        ))
    }

    fn clash(&self, what: &str, name: &str, other: &Item) -> Error {
        Error::new(format!(
            "{}: {what} and {} ({}) are both called {name} in Rust",
            self.place(),
            other.what,
            other.place
        ))
    }

    fn take(
        &mut self,
        module: &str,
        name: String,
        what: String,
        is_module: bool,
    ) -> Result<(), Error> {
        let place = self.place();
        let there = self.items.items.get(module).and_then(|items| items.get(&name));
        if let Some(other) = there {
            return Err(self.clash(&what, &name, other));
        }
        let items = self.items.items.entry(module.to_owned()).or_default();
        items.insert(name, Item { what, place, is_module });
        Ok(())
    }

    fn message(
        &mut self,
        module: &str,
        scope: &str,
        message: &DescriptorProto,
    ) -> Result<(), Error> {
        let name = message.name();
        let full = format!("{scope}.{name}");
        if self.is_elsewhere(&full)
            || message.options.as_ref().is_some_and(|options| options.map_entry())
        {
            return Ok(());
        }
        self.named("message", scope, name)?;
        let what = format!("message {}", full.trim_start_matches('.'));
        self.take(module, names::upper_camel(name), what.clone(), false)?;
        self.each(tag::message::FIELD, &message.field, |walk, field| {
            walk.named("field", &full, field.name())
        })?;
        let is_real = |index: usize| {
            let index = i32::try_from(index).ok();
            message.field.iter().any(|field| {
                field.oneof_index.is_some()
                    && field.oneof_index == index
                    && !field.proto3_optional()
            })
        };
        let nested =
            |it: &&DescriptorProto| !it.options.as_ref().is_some_and(|options| options.map_entry());
        let types: Vec<&str> = message
            .nested_type
            .iter()
            .filter(nested)
            .map(DescriptorProto::name)
            .chain(message.enum_type.iter().map(EnumDescriptorProto::name))
            .collect();
        let has_oneof = (0..message.oneof_decl.len()).any(is_real);
        if types.is_empty() && !has_oneof {
            return Ok(());
        }
        let inner = names::snake(name);
        self.take(module, inner.clone(), what, true)?;
        let inner = if module.is_empty() { inner } else { format!("{module}::{inner}") };
        self.each(tag::message::MESSAGE, &message.nested_type, |walk, it| {
            walk.message(&inner, &full, it)
        })?;
        self.each(tag::message::ENUM, &message.enum_type, |walk, it| {
            walk.enumeration(&inner, &full, it)
        })?;
        let camel: HashSet<String> = types.iter().map(|name| names::upper_camel(name)).collect();
        for (index, oneof) in
            message.oneof_decl.iter().enumerate().filter(|(index, _)| is_real(*index))
        {
            self.named("oneof", &full, oneof.name())?;
            let mut name = names::upper_camel(oneof.name());
            if camel.contains(&name) {
                name.push_str("OneOf");
            }
            self.path.extend([tag::message::ONEOF, i32::try_from(index).unwrap_or(i32::MAX)]);
            self.take(
                &inner,
                name,
                format!("oneof {}.{}", full.trim_start_matches('.'), oneof.name()),
                false,
            )?;
            self.path.truncate(self.path.len().saturating_sub(2));
        }
        Ok(())
    }

    fn enumeration(
        &mut self,
        module: &str,
        scope: &str,
        it: &EnumDescriptorProto,
    ) -> Result<(), Error> {
        let full = format!("{scope}.{}", it.name());
        if self.is_elsewhere(&full) {
            return Ok(());
        }
        self.named("enum", scope, it.name())?;
        let name = names::upper_camel(it.name());
        self.take(module, name.clone(), format!("enum {}", full.trim_start_matches('.')), false)?;
        let mut numbers = HashSet::new();
        let mut variants: HashMap<String, (&str, String)> = HashMap::new();
        for (index, value) in it.value.iter().enumerate() {
            if !numbers.insert(value.number()) {
                continue;
            }
            self.path.extend([tag::enumeration::VALUE, i32::try_from(index).unwrap_or(i32::MAX)]);
            self.named("value", &full, value.name())?;
            let variant = names::variant(&name, value.name(), self.rules.strip_enum_prefix);
            let place = self.place();
            if let Some((other, other_place)) = variants.get(&variant) {
                return Err(Error::new(format!(
                    "{place}: the values {} and {other} ({other_place}) of enum {} are both called {variant} in Rust",
                    value.name(),
                    full.trim_start_matches('.')
                )));
            }
            variants.insert(variant, (value.name(), place));
            self.path.truncate(self.path.len().saturating_sub(2));
        }
        Ok(())
    }
}

fn nameless(name: &str) -> bool {
    !name.contains(|c: char| c.is_ascii_alphanumeric())
}
