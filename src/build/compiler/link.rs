//! Names: what each means in the scope where it stands, by the imports of its file and nothing else.
//!
//! § "Protocol Buffers Language Specification", scoping; the search is protoc's `DescriptorBuilder::LookupSymbol`.

use std::collections::HashSet;

use super::model::{self, Field, File, Message};
use super::raw::Notes;
use super::{Fault, Linked, Pool, Pos, tag};

/// What a full name stands for.
#[derive(Clone, Debug)]
pub(super) struct Symbol {
    pub(super) kind: Kind,
    pub(super) file: u32,
    /// Of messages, enums and extensions.
    pub(super) path: Box<[i32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Package,
    Message,
    Enum,
    Extension,
    Service,
    /// What no name refers to, but may have another's name.
    Other,
}

impl Kind {
    fn is_type(self) -> bool {
        matches!(self, Self::Message | Self::Enum)
    }

    /// Whether others may be in it.
    fn is_scope(self) -> bool {
        matches!(self, Self::Package | Self::Message | Self::Enum | Self::Service)
    }
}

/// From where a name is looked for.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) file: u32,
    pub(super) of_options: bool,
}

/// Why a name means nothing.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// A file that has it and is not imported.
    elsewhere: Option<u32>,
    /// An inner scope has the first part of the name, but not the rest.
    resolved: Option<String>,
}

impl Pool {
    /// Adds a file, with all its names resolved. Its imports are there.
    pub(super) fn link_names(&mut self, mut file: File, notes: &Notes) -> Result<u32, Fault> {
        let index = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let (visible, visible_to_options) = self.visible(&file, index);
        self.by_name.insert(file.name().to_owned(), index);
        // The names need the file in its place, and the file its names: so it is put there empty first.
        let (comments, places) = (Vec::new(), std::collections::HashMap::new());
        let stub =
            File { package: file.package.clone(), name: file.name.clone(), ..Default::default() };
        self.files.push(Linked {
            file: stub,
            comments,
            places,
            visible,
            visible_to_options,
            default_visibility: 0,
        });
        Registrar { pool: self, index, notes, path: Vec::new() }.file(&file)?;
        let resolver = Resolver { pool: self, index, notes };
        resolver.file(&mut file)?;
        for (path, extension) in extensions(&file) {
            let key = (extension.extendee().trim_start_matches('.').into(), extension.number());
            let scope = self.scope_of(index, &file, &path);
            let name = join(&scope, extension.name());
            // Of another file, which may have nothing to do with this one, it is no fault: protoc warns, and the
            // first of them stays.
            let known = self.extensions.entry(key);
            let other = known.or_insert_with(|| name.clone().into()).clone();
            let of_this_file = self.symbols.get(&other).is_some_and(|symbol| symbol.file == index);
            if *other != *name && of_this_file {
                let pos = notes.get(&path[..]).map_or(Pos::default(), |note| note.name);
                let (number, extendee) = (extension.number(), extension.extendee());
                let text = format!(
                    "the number {number} of {extendee} is that of the extension '{other}', too"
                );
                return Err(Fault::new(pos, text));
            }
        }
        if let Some(linked) = self.files.get_mut(index as usize) {
            linked.file = file;
        }
        Ok(index)
    }

    /// The full name of what has the element with this path.
    fn scope_of(&self, _index: u32, file: &File, path: &[i32]) -> String {
        let mut scope = file.package().to_owned();
        let mut messages = &file.message_type;
        let mut rest = path;
        while let Some((&[_, index], after)) = rest.split_first_chunk::<2>() {
            if after.is_empty() {
                break;
            }
            let Some(message) = usize::try_from(index).ok().and_then(|index| messages.get(index))
            else {
                break;
            };
            scope = join(&scope, message.name());
            messages = &message.nested_type;
            rest = after;
        }
        scope
    }

    /// What is imported, and what those import publicly.
    fn visible(&self, file: &File, index: u32) -> (HashSet<u32>, HashSet<u32>) {
        let mut visible = HashSet::from([index]);
        let mut open = self.indices(&file.dependency);
        self.close_publicly(&mut open, &mut visible);
        let mut of_options = visible.clone();
        let mut open = self.indices(&file.option_dependency);
        self.close_publicly(&mut open, &mut of_options);
        (visible, of_options)
    }

    fn indices(&self, names: &[String]) -> Vec<u32> {
        names.iter().filter_map(|name| self.by_name.get(name).copied()).collect()
    }

    fn close_publicly(&self, open: &mut Vec<u32>, visible: &mut HashSet<u32>) {
        while let Some(next) = open.pop() {
            if visible.insert(next) {
                let Some(file) = self.file(next) else { continue };
                let public = file.public_dependency.iter();
                let public =
                    public.filter_map(|&at| file.dependency.get(usize::try_from(at).ok()?));
                open.extend(public.filter_map(|name| self.by_name.get(name)));
            }
        }
    }

    fn sees(&self, view: View, file: u32) -> bool {
        self.files.get(view.file as usize).is_some_and(|linked| {
            let visible =
                if view.of_options { &linked.visible_to_options } else { &linked.visible };
            visible.contains(&file)
        })
    }

    /// A full name, if the file may use it.
    fn find(&self, name: &str, view: View, unknown: &mut Unknown) -> Option<&Symbol> {
        let symbol = self.symbols.get(name)?;
        if self.sees(view, symbol.file) {
            return Some(symbol);
        }
        // A package is known by the first of its files: another of them may be visible.
        if symbol.kind == Kind::Package {
            let linked = self.files.get(view.file as usize)?;
            let visible =
                if view.of_options { &linked.visible_to_options } else { &linked.visible };
            let has = |&index: &u32| {
                self.file(index).is_some_and(|file| is_in_package(file.package(), name))
            };
            if visible.iter().any(has) {
                return Some(symbol);
            }
        }
        unknown.elsewhere.get_or_insert(symbol.file);
        None
    }

    /// What `name` means inside of `element`, which has a full name itself. Its full name comes back.
    pub(super) fn look_up(
        &self,
        name: &str,
        element: &str,
        view: View,
        types_only: bool,
    ) -> Result<(String, &Symbol), Unknown> {
        let mut unknown = Unknown::default();
        if let Some(full) = name.strip_prefix('.') {
            return match self.find(full, view, &mut unknown) {
                Some(symbol) => Ok((full.to_owned(), symbol)),
                None => Err(unknown),
            };
        }
        let first = name.split('.').next().unwrap_or(name);
        let mut scope = element;
        while let Some((outer, _)) = scope.rsplit_once('.') {
            scope = outer;
            let candidate = format!("{scope}.{first}");
            let Some(symbol) = self.find(&candidate, view, &mut unknown) else { continue };
            if first.len() == name.len() {
                if !types_only || symbol.kind.is_type() {
                    return Ok((candidate, symbol));
                }
            } else if symbol.kind.is_scope() {
                let full = format!("{scope}.{name}");
                return match self.find(&full, view, &mut unknown) {
                    Some(symbol) => Ok((full, symbol)),
                    None => {
                        unknown.resolved = Some(full);
                        Err(unknown)
                    }
                };
            }
        }
        match self.find(name, view, &mut unknown) {
            Some(symbol) => Ok((name.to_owned(), symbol)),
            None => Err(unknown),
        }
    }

    /// The same as an error.
    pub(super) fn unknown(&self, name: &str, unknown: &Unknown, pos: Pos) -> Fault {
        let mut text = format!("'{name}' is not defined");
        if let Some(resolved) = &unknown.resolved {
            text = format!(
                "'{name}' is '{resolved}' here, which is not defined: an inner scope has the first part of the name; \
                 a leading dot names it from the outermost"
            );
        }
        if let Some(file) = unknown.elsewhere.and_then(|file| self.file(file)) {
            text.push_str(&format!("; '{}' has it, which is not imported here", file.name()));
        }
        Fault::new(pos, text)
    }
}

pub(super) fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

fn is_in_package(package: &str, name: &str) -> bool {
    package.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// All extensions of a file, with their paths.
fn extensions(file: &File) -> Vec<(Vec<i32>, &Field)> {
    fn within<'f>(message: &'f Message, path: &[i32], found: &mut Vec<(Vec<i32>, &'f Field)>) {
        for (index, extension) in message.extension.iter().enumerate() {
            found.push(([path, &[tag::message::EXTENSION, index as i32]].concat(), extension));
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            within(nested, &[path, &[tag::message::MESSAGE, index as i32]].concat(), found);
        }
    }
    let mut found = Vec::new();
    for (index, extension) in file.extension.iter().enumerate() {
        found.push((vec![tag::file::EXTENSION, index as i32], extension));
    }
    for (index, message) in file.message_type.iter().enumerate() {
        within(message, &[tag::file::MESSAGE, index as i32], &mut found);
    }
    found
}

/// Takes the names of a file.
struct Registrar<'p> {
    pool: &'p mut Pool,
    index: u32,
    notes: &'p Notes,
    path: Vec<i32>,
}

impl Registrar<'_> {
    fn inside<T>(
        &mut self,
        tag: i32,
        items: &[T],
        each: impl Fn(&mut Self, &T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for (index, item) in items.iter().enumerate() {
            self.path.extend([tag, index as i32]);
            each(self, item)?;
            self.path.truncate(self.path.len().saturating_sub(2));
        }
        Ok(())
    }

    fn take(&mut self, scope: &str, name: &str, kind: Kind) -> Result<String, Fault> {
        let full = join(scope, name);
        let keeps_path = matches!(kind, Kind::Message | Kind::Enum | Kind::Extension);
        let path: Box<[i32]> = if keeps_path { self.path[..].into() } else { Box::default() };
        let symbol = Symbol { kind, file: self.index, path };
        if let Some(old) = self.pool.symbols.get(&full[..]) {
            let pos = self.notes.get(&self.path[..]).map_or(Pos::default(), |note| note.name);
            let other = self.pool.file(old.file).map_or("", File::name);
            let what = if old.kind == Kind::Package { "a package" } else { "defined" };
            let text = match old.file == self.index {
                true => format!("'{full}' is {what} already"),
                false => format!("'{full}' is {what} already, in '{other}'"),
            };
            return Err(Fault::new(pos, text));
        }
        self.pool.symbols.insert(full.clone().into(), symbol);
        Ok(full)
    }

    fn package(&mut self, name: &str) -> Result<(), Fault> {
        let dots = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
        for end in dots.filter(|&end| end > 0) {
            let part = name.get(..end).unwrap_or(name);
            match self.pool.symbols.get(part) {
                Some(symbol) if symbol.kind == Kind::Package => {}
                Some(symbol) => {
                    let other = self.pool.file(symbol.file).map_or("", File::name);
                    let path = [tag::file::PACKAGE];
                    let pos = self.notes.get(&path[..]).map_or(Pos::default(), |note| note.name);
                    return Err(Fault::new(pos, format!("'{part}' is no package in '{other}'")));
                }
                None => {
                    let symbol =
                        Symbol { kind: Kind::Package, file: self.index, path: Box::default() };
                    self.pool.symbols.insert(part.into(), symbol);
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &File) -> Result<(), Fault> {
        let package = file.package();
        self.package(package)?;
        self.inside(tag::file::MESSAGE, &file.message_type, |this, message| {
            this.message(package, message)
        })?;
        self.inside(tag::file::ENUM, &file.enum_type, |this, it| this.enumeration(package, it))?;
        self.inside(tag::file::EXTENSION, &file.extension, |this, field| {
            this.take(package, field.name(), Kind::Extension).map(drop)
        })?;
        self.inside(tag::file::SERVICE, &file.service, |this, service| {
            let name = this.take(package, service.name(), Kind::Service)?;
            this.inside(tag::service::METHOD, &service.method, |this, method| {
                this.take(&name, method.name(), Kind::Other).map(drop)
            })
        })
    }

    fn message(&mut self, scope: &str, message: &Message) -> Result<(), Fault> {
        let name = self.take(scope, message.name(), Kind::Message)?;
        self.inside(tag::message::FIELD, &message.field, |this, field| {
            this.take(&name, field.name(), Kind::Other).map(drop)
        })?;
        self.inside(tag::message::ONEOF, &message.oneof_decl, |this, oneof| {
            this.take(&name, oneof.name(), Kind::Other).map(drop)
        })?;
        self.inside(tag::message::MESSAGE, &message.nested_type, |this, nested| {
            this.message(&name, nested)
        })?;
        self.inside(tag::message::ENUM, &message.enum_type, |this, it| {
            this.enumeration(&name, it)
        })?;
        self.inside(tag::message::EXTENSION, &message.extension, |this, field| {
            this.take(&name, field.name(), Kind::Extension).map(drop)
        })
    }

    /// Values stand beside their enum, not in it.
    fn enumeration(&mut self, scope: &str, it: &model::Enum) -> Result<(), Fault> {
        self.take(scope, it.name(), Kind::Enum)?;
        self.inside(tag::enumeration::VALUE, &it.value, |this, value| {
            this.take(scope, value.name(), Kind::Other).map(drop)
        })
    }
}

/// Puts full names, with a leading dot, in the place of those that are written.
struct Resolver<'p> {
    pool: &'p Pool,
    index: u32,
    notes: &'p Notes,
}

impl Resolver<'_> {
    fn file(&self, file: &mut File) -> Result<(), Fault> {
        let package = file.package().to_owned();
        for (index, message) in file.message_type.iter_mut().enumerate() {
            let name = join(&package, message.name());
            self.message(&name, message, &mut vec![tag::file::MESSAGE, index as i32])?;
        }
        let mut path = vec![];
        self.fields(&package, &mut file.extension, tag::file::EXTENSION, &mut path)?;
        for (index, service) in file.service.iter_mut().enumerate() {
            let scope = join(&package, service.name());
            for (at, method) in service.method.iter_mut().enumerate() {
                let path = [tag::file::SERVICE, index as i32, tag::service::METHOD, at as i32];
                let note = self.notes.get(&path[..]);
                let element = join(&scope, method.name());
                for (name, pos) in [
                    (&mut method.input_type, note.map(|note| note.kind)),
                    (&mut method.output_type, note.map(|note| note.other_kind)),
                ] {
                    let written = name.as_deref().unwrap_or_default();
                    let (full, kind) =
                        self.resolve(written, &element, pos.unwrap_or_default(), true)?;
                    if kind != Kind::Message {
                        return Err(Fault::new(
                            pos.unwrap_or_default(),
                            format!("'{written}' is no message"),
                        ));
                    }
                    *name = Some(full);
                }
            }
        }
        Ok(())
    }

    fn message(&self, name: &str, message: &mut Message, path: &mut Vec<i32>) -> Result<(), Fault> {
        self.fields(name, &mut message.field, tag::message::FIELD, path)?;
        self.fields(name, &mut message.extension, tag::message::EXTENSION, path)?;
        for (index, nested) in message.nested_type.iter_mut().enumerate() {
            path.extend([tag::message::MESSAGE, index as i32]);
            self.message(&join(name, nested.name()), nested, path)?;
            path.truncate(path.len().saturating_sub(2));
        }
        Ok(())
    }

    fn fields(
        &self,
        scope: &str,
        fields: &mut [Field],
        tag: i32,
        path: &mut Vec<i32>,
    ) -> Result<(), Fault> {
        for (index, field) in fields.iter_mut().enumerate() {
            path.extend([tag, index as i32]);
            self.field(&join(scope, field.name()), field, path)?;
            path.truncate(path.len().saturating_sub(2));
        }
        Ok(())
    }

    fn field(&self, element: &str, field: &mut Field, path: &[i32]) -> Result<(), Fault> {
        let note = self.notes.get(path);
        let pos = note.map_or(Pos::default(), |note| note.kind);
        if let Some(extendee) = &field.extendee {
            let pos = note.map_or(Pos::default(), |note| note.other_kind);
            let (full, kind) = self.resolve(extendee, element, pos, true)?;
            if kind != Kind::Message {
                return Err(Fault::new(
                    pos,
                    format!("'{extendee}' is no message, so it cannot be extended"),
                ));
            }
            field.extendee = Some(full);
        }
        if let Some(written) = &field.type_name {
            let (full, kind) = self.resolve(written, element, pos, true)?;
            let is_message = kind == Kind::Message;
            if field.r#type.is_none() {
                field.r#type = Some(if is_message { model::MESSAGE } else { model::ENUM });
            }
            field.type_name = Some(full);
        }
        if field.json_name.is_none() {
            field.json_name = Some(json_name(field.name()));
        }
        Ok(())
    }

    /// With a leading dot.
    fn resolve(
        &self,
        name: &str,
        element: &str,
        pos: Pos,
        types_only: bool,
    ) -> Result<(String, Kind), Fault> {
        let view = View { file: self.index, of_options: false };
        match self.pool.look_up(name, element, view, types_only) {
            Ok((full, symbol)) if symbol.kind.is_type() => Ok((format!(".{full}"), symbol.kind)),
            Ok(_) => Err(Fault::new(pos, format!("'{name}' is no type"))),
            Err(unknown) => Err(self.pool.unknown(name, &unknown, pos)),
        }
    }
}

/// `foo_bar` to `fooBar`.
pub(super) fn json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut capital = false;
    for c in name.chars() {
        if c == '_' {
            capital = true;
        } else if std::mem::take(&mut capital) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}
