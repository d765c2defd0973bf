//! Messages: what may stand between their braces, and the ranges of numbers that they keep free.

use std::collections::HashSet;

use super::super::lexer::Kind;
use super::super::model::{self, Message, Oneof, Range};
use super::super::raw::RawOption;
use super::super::{Fault, tag};
use super::{Body, Parser, fields};

impl Parser<'_> {
    pub(super) fn message(&mut self) -> Result<Message, Fault> {
        self.expect_word("message")?;
        let (name, pos) = self.name("a name for the message")?;
        self.here().name = pos;
        self.end(b'{')?;
        self.message_body(name)
    }

    /// Up to its closing brace.
    pub(super) fn message_body(&mut self, name: String) -> Result<Message, Fault> {
        self.deeper()?;
        let mut message = Message { name: Some(name), ..Default::default() };
        while !self.block_ends()? {
            self.member(&mut message)?;
        }
        self.synthetic_oneofs(&mut message);
        self.close_ranges(&mut message);
        self.depth -= 1;
        Ok(message)
    }

    fn member(&mut self, message: &mut Message) -> Result<(), Fault> {
        let word = match &self.token.kind {
            Kind::Word(word) => &word[..],
            Kind::Symbol(b'.') => "",
            _ => return self.unexpected("a field, message, enum, oneof, option, range or '}'"),
        };
        match word {
            "message" => {
                let index = message.nested_type.len();
                let nested = self.inside(tag::message::MESSAGE, index, Self::message)?;
                message.nested_type.push(nested);
            }
            "enum" => {
                let index = message.enum_type.len();
                let nested = self.inside(tag::message::ENUM, index, Self::enumeration)?;
                message.enum_type.push(nested);
            }
            "export" | "local" if self.visibility_follows() => {
                let visibility = self.visibility()?;
                let was = (message.nested_type.len(), message.enum_type.len());
                self.member(message)?;
                message
                    .nested_type
                    .iter_mut()
                    .skip(was.0)
                    .for_each(|it| it.visibility = visibility);
                message.enum_type.iter_mut().skip(was.1).for_each(|it| it.visibility = visibility);
            }
            "oneof" => self.oneof(message)?,
            "extend" => {
                let mut body = Body {
                    fields: &mut message.extension,
                    field_tag: tag::message::EXTENSION,
                    messages: &mut message.nested_type,
                    message_tag: tag::message::MESSAGE,
                };
                self.extend(&mut body)?;
            }
            "option" => {
                let option = self.option_statement()?;
                self.here().options.push(option);
            }
            "extensions" => self.extensions(message)?,
            "reserved" => {
                let (mut ranges, mut names) = (Vec::new(), Vec::new());
                self.reserved(&mut ranges, &mut names, false)?;
                message.reserved_range.append(&mut ranges);
                message.reserved_name.append(&mut names);
            }
            _ => {
                let mut body = Body {
                    fields: &mut message.field,
                    field_tag: tag::message::FIELD,
                    messages: &mut message.nested_type,
                    message_tag: tag::message::MESSAGE,
                };
                self.field(&mut body, &fields::Scope::Message)?;
            }
        }
        Ok(())
    }

    fn visibility_follows(&self) -> bool {
        let (next, after) = self.ahead();
        matches!(next, Kind::Word(word) if word == "message" || word == "enum")
            && matches!(after, Kind::Word(_))
    }

    fn oneof(&mut self, message: &mut Message) -> Result<(), Fault> {
        self.advance()?;
        let index = message.oneof_decl.len();
        let (name, pos) = self.name("a name for the oneof")?;
        self.inside(tag::message::ONEOF, index, |parser| {
            parser.here().name = pos;
            parser.end(b'{')
        })?;
        message.oneof_decl.push(Oneof { name: Some(name), options: None });
        let scope = fields::Scope::Oneof(i32::try_from(index).unwrap_or(i32::MAX));
        let mut is_empty = true;
        while !self.block_ends()? {
            if self.is_word("option") {
                let option = self.option_statement()?;
                self.inside(tag::message::ONEOF, index, |parser| {
                    parser.here().options.push(option);
                    Ok(())
                })?;
                continue;
            }
            is_empty = false;
            let mut body = Body {
                fields: &mut message.field,
                field_tag: tag::message::FIELD,
                messages: &mut message.nested_type,
                message_tag: tag::message::MESSAGE,
            };
            self.field(&mut body, &scope)?;
        }
        if is_empty { Err(Fault::new(pos, "a oneof has to have a field")) } else { Ok(()) }
    }

    /// Each `optional` of proto3 gets a oneof of its own, after all others.
    fn synthetic_oneofs(&mut self, message: &mut Message) {
        if !message.field.iter().any(model::Field::proto3_optional) {
            return;
        }
        let fields = message.field.iter().map(|field| field.name().to_owned());
        let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name().to_owned());
        let mut names: HashSet<String> = fields.chain(oneofs).collect();
        for field in message.field.iter_mut().filter(|field| field.proto3_optional()) {
            let mut name = field.name().to_owned();
            if !name.starts_with('_') {
                name.insert(0, '_');
            }
            while !names.insert(name.clone()) {
                name.insert(0, 'X');
            }
            field.oneof_index = i32::try_from(message.oneof_decl.len()).ok();
            message.oneof_decl.push(Oneof { name: Some(name), options: None });
        }
    }

    /// Replaces `max` by the number it means, which an option of the message decides.
    fn close_ranges(&mut self, message: &mut Message) {
        let is_set = self.here().options.iter().any(RawOption::is_message_set);
        let end = if is_set { i32::MAX } else { tag::MAX_NUMBER + 1 };
        let ranges = message.extension_range.iter_mut().chain(&mut message.reserved_range);
        ranges.filter(|range| range.end == Some(tag::MAX)).for_each(|range| range.end = Some(end));
    }

    fn extensions(&mut self, message: &mut Message) -> Result<(), Fault> {
        self.advance()?;
        let first = message.extension_range.len();
        loop {
            let pos = self.token.pos;
            let range = self.range(false)?;
            self.inside(tag::message::EXTENSION_RANGE, message.extension_range.len(), |parser| {
                parser.here().name = pos;
                Ok(())
            })?;
            message.extension_range.push(range);
            if !self.take(b',')? {
                break;
            }
        }
        if self.is(b'[') {
            let options = self.option_list()?;
            for index in first..message.extension_range.len() {
                let options = options.clone();
                self.inside(tag::message::EXTENSION_RANGE, index, |parser| {
                    parser.here().options = options;
                    Ok(())
                })?;
            }
        }
        self.end_of_other(b';')?;
        Ok(())
    }

    /// `1`, `1 to 5`, `1 to max`.
    fn range(&mut self, of_enum: bool) -> Result<Range, Fault> {
        let pos = self.token.pos;
        let start = if of_enum { self.signed()? } else { self.number()? };
        let mut end = start;
        if self.take_word("to")? {
            end = if self.take_word("max")? {
                if of_enum { i32::MAX } else { tag::MAX }
            } else if of_enum {
                self.signed()?
            } else {
                self.number()?
            };
        }
        if end != tag::MAX && end < start {
            return Err(Fault::new(pos, "the end of a range is not before its start"));
        }
        if !of_enum && start < 1 {
            return Err(Fault::new(pos, "numbers of fields are above 0"));
        }
        // Of messages the end is not in the range.
        let end = if of_enum || end == tag::MAX { end } else { end.saturating_add(1) };
        Ok(Range { start: Some(start), end: Some(end), options: None })
    }

    pub(super) fn reserved(
        &mut self,
        ranges: &mut Vec<Range>,
        names: &mut Vec<String>,
        of_enum: bool,
    ) -> Result<(), Fault> {
        self.advance()?;
        let pos = self.token.pos;
        loop {
            match self.token.kind {
                Kind::Text(_) if self.file.is_editions() => {
                    return Err(Fault::new(pos, "editions reserve names without quotes"));
                }
                Kind::Text(_) => names.push(self.utf8()?),
                Kind::Word(_) if !self.file.is_editions() => {
                    return Err(Fault::new(
                        pos,
                        "names that are reserved stand in quotes, except in editions",
                    ));
                }
                Kind::Word(_) => names.push(self.name("a name")?.0),
                _ => ranges.push(self.range(of_enum)?),
            }
            if !names.is_empty() && !ranges.is_empty() {
                return Err(Fault::new(pos, "names and numbers are reserved by a statement each"));
            }
            if !self.take(b',')? {
                break;
            }
        }
        self.end_of_other(b';')?;
        Ok(())
    }
}
