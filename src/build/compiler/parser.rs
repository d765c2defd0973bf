//! From tokens to a descriptor whose names are not resolved and whose options are not interpreted yet.
//!
//! § "Protocol Buffers Language Specification" of proto2, proto3, editions 2023 and 2024. Where that is silent, as protoc's
//! `compiler/parser.cc`. Ignores other files: [`super::link`] knows those.

mod fields;
mod messages;
mod options;

use std::collections::HashMap;

use super::lexer::{Between, Kind, Lexer, Token};
use super::model::{self, Enum, File, Message, Method, Service, Value};
use super::raw::{Note, Notes};
use super::{Fault, Pos, tag};

pub(super) use fields::entry_name;

/// What a text says, and where.
pub(super) struct Parsed {
    pub(super) file: File,
    pub(super) notes: Notes,
}

pub(super) fn parse(name: &str, text: &[u8]) -> Result<Parsed, Fault> {
    let lexer = Lexer::new(text);
    let end = Token { kind: Kind::End, pos: Pos::default() };
    let mut parser = Parser {
        lexer,
        token: end,
        leading: None,
        detached: Vec::new(),
        file: File { name: Some(name.to_owned()), ..Default::default() },
        notes: HashMap::new(),
        path: Vec::new(),
        depth: 0,
    };
    parser.advance_with_comments()?;
    parser.file()?;
    Ok(Parsed { file: parser.file, notes: parser.notes })
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    /// The comment before the declaration that is being read.
    leading: Option<String>,
    detached: Vec<String>,
    file: File,
    notes: Notes,
    /// Of the element that is being read, as in `SourceCodeInfo.Location`.
    path: Vec<i32>,
    depth: usize,
}

/// Where a field or its message goes.
struct Body<'m> {
    fields: &'m mut Vec<model::Field>,
    field_tag: i32,
    messages: &'m mut Vec<Message>,
    message_tag: i32,
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Token, Fault> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Returns the comments of what ends with the token before.
    fn advance_with_comments(&mut self) -> Result<Between, Fault> {
        let (token, between) = self.lexer.next_with_comments()?;
        self.token = token;
        let leading = std::mem::replace(&mut self.leading, between.leading);
        let detached = std::mem::replace(&mut self.detached, between.detached);
        Ok(Between { leading, detached, trailing: between.trailing })
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, Fault> {
        let found = match &self.token.kind {
            Kind::Word(word) => format!("'{word}'"),
            Kind::Symbol(symbol) => format!("'{}'", char::from(*symbol)),
            Kind::Int(_) | Kind::Float(_) => "a number".to_owned(),
            Kind::Text(_) => "a string".to_owned(),
            Kind::End => "the end of the file".to_owned(),
        };
        Err(Fault::new(self.token.pos, format!("expected {expected}, but found {found}")))
    }

    fn is(&self, symbol: u8) -> bool {
        self.token.kind == Kind::Symbol(symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token.kind, Kind::Word(there) if there == word)
    }

    /// The kinds of the next two tokens, of which this does not take any.
    fn ahead(&self) -> (Kind, Kind) {
        let mut lexer = self.lexer.clone();
        let mut next = || lexer.next().map_or(Kind::End, |token| token.kind);
        (next(), next())
    }

    fn take(&mut self, symbol: u8) -> Result<bool, Fault> {
        let is = self.is(symbol);
        if is {
            self.advance()?;
        }
        Ok(is)
    }

    fn take_word(&mut self, word: &str) -> Result<bool, Fault> {
        let is = self.is_word(word);
        if is {
            self.advance()?;
        }
        Ok(is)
    }

    fn expect(&mut self, symbol: u8) -> Result<(), Fault> {
        if self.take(symbol)? {
            Ok(())
        } else {
            self.unexpected(&format!("'{}'", char::from(symbol)))
        }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Fault> {
        if self.take_word(word)? { Ok(()) } else { self.unexpected(&format!("'{word}'")) }
    }

    fn name(&mut self, what: &str) -> Result<(String, Pos), Fault> {
        match &mut self.token.kind {
            Kind::Word(word) => {
                let word = std::mem::take(word);
                Ok((word, self.advance()?.pos))
            }
            _ => self.unexpected(what),
        }
    }

    /// Strings that follow each other are one.
    fn text(&mut self) -> Result<Vec<u8>, Fault> {
        let mut out = match &mut self.token.kind {
            Kind::Text(text) => std::mem::take(text),
            _ => return self.unexpected("a string"),
        };
        self.advance()?;
        while let Kind::Text(more) = &self.token.kind {
            out.extend_from_slice(more);
            self.advance()?;
        }
        Ok(out)
    }

    fn utf8(&mut self) -> Result<String, Fault> {
        let pos = self.token.pos;
        String::from_utf8(self.text()?).map_err(|_| Fault::new(pos, "this string is not UTF-8"))
    }

    fn int(&mut self, max: u64) -> Result<u64, Fault> {
        match self.token.kind {
            Kind::Int(value) if value <= max => {
                self.advance()?;
                Ok(value)
            }
            Kind::Int(_) | Kind::Float(_) => {
                Err(Fault::new(self.token.pos, "this integer is out of range"))
            }
            _ => self.unexpected("an integer"),
        }
    }

    fn number(&mut self) -> Result<i32, Fault> {
        Ok(i32::try_from(self.int(i32::MAX as u64)?).unwrap_or(i32::MAX))
    }

    fn signed(&mut self) -> Result<i32, Fault> {
        let minus = self.take(b'-')?;
        let value = self.int(if minus { 1 << 31 } else { i32::MAX as u64 })? as i64;
        Ok(i32::try_from(if minus { -value } else { value }).unwrap_or(i32::MIN))
    }

    /// `.a.b.c`; with the position of its beginning.
    fn full_name(&mut self, dot: bool) -> Result<(String, Pos), Fault> {
        let start = self.token.pos;
        let mut name = String::new();
        if dot && self.take(b'.')? {
            name.push('.');
        }
        name.push_str(&self.name("a name")?.0);
        while self.take(b'.')? {
            name.push('.');
            name.push_str(&self.name("a name")?.0);
        }
        Ok((name, start))
    }

    /// The `;` or `{` that ends what the comments so far belong to: the element at the present path.
    fn end(&mut self, symbol: u8) -> Result<(), Fault> {
        let Between { leading, detached, trailing } = self.end_of_other(symbol)?;
        let path = self.path.clone();
        let note = self.note(&path);
        (note.leading, note.detached, note.trailing) = (leading, detached, trailing);
        Ok(())
    }

    /// The same for what takes no comments.
    fn end_of_other(&mut self, symbol: u8) -> Result<Between, Fault> {
        if !self.is(symbol) {
            return self.unexpected(&format!("'{}'", char::from(symbol)));
        }
        self.advance_with_comments()
    }

    /// Takes an empty statement, or what ends a block: true for the latter.
    fn block_ends(&mut self) -> Result<bool, Fault> {
        loop {
            if self.is(b'}') {
                self.advance_with_comments()?;
                return Ok(true);
            }
            if !self.is(b';') {
                return Ok(false);
            }
            self.advance_with_comments()?;
        }
    }

    fn note(&mut self, path: &[i32]) -> &mut Note {
        if !self.notes.contains_key(path) {
            self.notes.insert(path.into(), Note::default());
        }
        // It is there: the line above has seen to it.
        self.notes.entry(path.into()).or_default()
    }

    /// Notes of the element at the present path.
    fn here(&mut self) -> &mut Note {
        let path = std::mem::take(&mut self.path);
        let note = self.notes.entry(path[..].into()).or_default();
        self.path = path;
        note
    }

    fn inside<T>(
        &mut self,
        tag: i32,
        index: usize,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.path.extend([tag, i32::try_from(index).unwrap_or(i32::MAX)]);
        let result = read(self);
        self.path.truncate(self.path.len().saturating_sub(2));
        result
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        // As protoc.
        if self.depth > 32 {
            return Err(Fault::new(self.token.pos, "messages are nested more than 32 deep"));
        }
        Ok(())
    }

    fn proto2(&self) -> bool {
        self.file.edition_number() == model::PROTO2
    }

    fn proto3(&self) -> bool {
        self.file.edition_number() == model::PROTO3
    }

    fn file(&mut self) -> Result<(), Fault> {
        if self.is_word("syntax") || self.is_word("edition") {
            self.syntax()?;
        }
        loop {
            while self.is(b';') {
                self.advance_with_comments()?;
            }
            if self.token.kind == Kind::End {
                return Ok(());
            }
            self.statement()?;
        }
    }

    fn syntax(&mut self) -> Result<(), Fault> {
        let is_edition = self.is_word("edition");
        self.advance()?;
        self.expect(b'=')?;
        let pos = self.token.pos;
        let value = self.text()?;
        let value = String::from_utf8_lossy(&value).into_owned();
        let edition = match (is_edition, &value[..]) {
            (false, "proto2") => None,
            (false, "proto3") => {
                self.file.syntax = Some(value);
                None
            }
            (false, _) => {
                return Err(Fault::new(
                    pos,
                    format!("unknown syntax {value:?}: this reads \"proto2\" and \"proto3\""),
                ));
            }
            (true, "2023") => Some(model::EDITION_2023),
            (true, "2024") => Some(model::EDITION_2024),
            (true, _) => {
                return Err(Fault::new(
                    pos,
                    format!("unknown edition {value:?}: this reads editions \"2023\" and \"2024\""),
                ));
            }
        };
        if edition.is_some() {
            self.file.syntax = Some("editions".to_owned());
            self.file.edition = edition;
        }
        self.end_of_other(b';')?;
        Ok(())
    }

    fn statement(&mut self) -> Result<(), Fault> {
        let Kind::Word(word) = &self.token.kind else {
            return self.unexpected("a declaration, such as 'message' or 'import',");
        };
        match &word[..] {
            "message" | "enum" | "export" | "local" => self.visible(),
            "service" => {
                let index = self.file.service.len();
                let service = self.inside(tag::file::SERVICE, index, Self::service)?;
                self.file.service.push(service);
                Ok(())
            }
            "extend" => {
                let mut fields = std::mem::take(&mut self.file.extension);
                let mut messages = std::mem::take(&mut self.file.message_type);
                let mut body = Body {
                    fields: &mut fields,
                    field_tag: tag::file::EXTENSION,
                    messages: &mut messages,
                    message_tag: tag::file::MESSAGE,
                };
                let result = self.extend(&mut body);
                (self.file.extension, self.file.message_type) = (fields, messages);
                result
            }
            "import" => self.import(),
            "package" => self.package(),
            "option" => {
                let option = self.option_statement()?;
                self.here().options.push(option);
                Ok(())
            }
            _ => self.unexpected(
                "'enum', 'extend', 'import', 'message', 'option', 'package', 'service' or ';'",
            ),
        }
    }

    /// A message or enum at the top of the file.
    fn visible(&mut self) -> Result<(), Fault> {
        let visibility = self.visibility()?;
        if self.is_word("enum") {
            let index = self.file.enum_type.len();
            let mut it = self.inside(tag::file::ENUM, index, Self::enumeration)?;
            it.visibility = visibility;
            self.file.enum_type.push(it);
        } else if self.is_word("message") {
            let index = self.file.message_type.len();
            let mut it = self.inside(tag::file::MESSAGE, index, Self::message)?;
            it.visibility = visibility;
            self.file.message_type.push(it);
        } else {
            return self.unexpected("'message' or 'enum'");
        }
        Ok(())
    }

    fn visibility(&mut self) -> Result<Option<i32>, Fault> {
        let visibility = if self.is_word("local") {
            tag::LOCAL
        } else if self.is_word("export") {
            tag::EXPORT
        } else {
            return Ok(None);
        };
        if self.file.edition_number() < model::EDITION_2024 {
            return Err(Fault::new(self.token.pos, "'export' and 'local' need edition 2024"));
        }
        self.advance()?;
        Ok(Some(visibility))
    }

    fn import(&mut self) -> Result<(), Fault> {
        let pos = self.token.pos;
        self.advance()?;
        let index = i32::try_from(self.file.dependency.len()).unwrap_or(i32::MAX);
        if self.is_word("option") {
            if self.file.edition_number() < model::EDITION_2024 {
                return Err(Fault::new(self.token.pos, "'import option' needs edition 2024"));
            }
            self.advance()?;
            let path = [tag::file::OPTION_DEPENDENCY, self.file.option_dependency.len() as i32];
            self.note(&path).name = pos;
            let name = self.utf8()?;
            self.file.option_dependency.push(name);
        } else {
            if !self.file.option_dependency.is_empty() {
                return Err(Fault::new(pos, "imports for options come after all others"));
            }
            if self.take_word("public")? {
                self.file.public_dependency.push(index);
            } else if self.is_word("weak") {
                if self.file.edition_number() >= model::EDITION_2024 {
                    return Err(Fault::new(self.token.pos, "edition 2024 has no 'import weak'"));
                }
                self.advance()?;
                self.file.weak_dependency.push(index);
            }
            self.note(&[tag::file::DEPENDENCY, index]).name = pos;
            let name = self.utf8()?;
            self.file.dependency.push(name);
        }
        self.end_of_other(b';')?;
        Ok(())
    }

    fn package(&mut self) -> Result<(), Fault> {
        let pos = self.token.pos;
        if self.file.package.is_some() {
            return Err(Fault::new(pos, "a file has one package, this is a second one"));
        }
        self.advance()?;
        let (name, at) = self.full_name(false)?;
        self.note(&[tag::file::PACKAGE]).name = at;
        self.file.package = Some(name);
        self.end_of_other(b';')?;
        Ok(())
    }

    fn enumeration(&mut self) -> Result<Enum, Fault> {
        self.advance()?;
        let (name, pos) = self.name("a name for the enum")?;
        self.here().name = pos;
        self.end(b'{')?;
        let mut it = Enum { name: Some(name), ..Default::default() };
        while !self.block_ends()? {
            if self.is_word("option") && !matches!(self.ahead().0, Kind::Symbol(b'=')) {
                let option = self.option_statement()?;
                self.here().options.push(option);
            } else if self.is_word("reserved") && !matches!(self.ahead().0, Kind::Symbol(b'=')) {
                let (mut ranges, mut names) = (Vec::new(), Vec::new());
                self.reserved(&mut ranges, &mut names, true)?;
                it.reserved_range.append(&mut ranges);
                it.reserved_name.append(&mut names);
            } else {
                let index = it.value.len();
                let value = self.inside(tag::enumeration::VALUE, index, Self::value)?;
                it.value.push(value);
            }
        }
        if it.value.is_empty() {
            Err(Fault::new(pos, "an enum has to have a value"))
        } else {
            Ok(it)
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let (name, pos) = self.name("a name, 'option', 'reserved' or '}'")?;
        self.here().name = pos;
        self.expect(b'=')?;
        let number = self.signed()?;
        if self.is(b'[') {
            self.here().has_options = true;
            let options = self.option_list()?;
            self.here().options = options;
        }
        self.end(b';')?;
        Ok(Value { name: Some(name), number: Some(number), options: None })
    }

    fn service(&mut self) -> Result<Service, Fault> {
        self.advance()?;
        let (name, pos) = self.name("a name for the service")?;
        self.here().name = pos;
        self.end(b'{')?;
        let mut service = Service { name: Some(name), ..Default::default() };
        while !self.block_ends()? {
            if self.is_word("option") {
                let option = self.option_statement()?;
                self.here().options.push(option);
            } else {
                let index = service.method.len();
                let method = self.inside(tag::service::METHOD, index, Self::method)?;
                service.method.push(method);
            }
        }
        Ok(service)
    }

    fn method(&mut self) -> Result<Method, Fault> {
        self.expect_word("rpc")?;
        let (name, pos) = self.name("a name for the method")?;
        self.here().name = pos;
        let mut method = Method { name: Some(name), ..Default::default() };
        self.expect(b'(')?;
        method.client_streaming = self.take_word("stream")?.then_some(true);
        let (input, input_pos) = self.full_name(true)?;
        self.expect(b')')?;
        self.expect_word("returns")?;
        self.expect(b'(')?;
        method.server_streaming = self.take_word("stream")?.then_some(true);
        let (output, output_pos) = self.full_name(true)?;
        self.expect(b')')?;
        (self.here().kind, self.here().other_kind) = (input_pos, output_pos);
        (method.input_type, method.output_type) = (Some(input), Some(output));
        if self.is(b'{') {
            self.here().has_options = true;
            self.end(b'{')?;
            while !self.block_ends()? {
                if !self.is_word("option") {
                    return self.unexpected("'option' or '}'");
                }
                let option = self.option_statement()?;
                self.here().options.push(option);
            }
        } else {
            self.end(b';')?;
        }
        Ok(method)
    }
}
