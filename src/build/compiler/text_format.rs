//! Messages between braces, in the text format.
//!
//! § "Text Format Language Specification".

use super::interpret::{Reader, scalar};
use super::lexer::{Kind, Token};
use super::model::{self, Field, Message};
use super::raw::{RawValue, value_of};
use super::tree::{Leaf, Tree};
use super::{Fault, Pos};

pub(super) fn read(
    reader: &Reader<'_>,
    message: &str,
    tokens: &[Token],
    pos: Pos,
) -> Result<Tree, Fault> {
    let mut text = Text { reader, tokens, at: 0, pos, depth: 0 };
    let tree = text.fields(message, None)?;
    Ok(tree)
}

struct Text<'t> {
    reader: &'t Reader<'t>,
    tokens: &'t [Token],
    at: usize,
    /// Where the option stands: that of the end.
    pos: Pos,
    depth: usize,
}

impl<'t> Text<'t> {
    fn kind(&self) -> &'t Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn place(&self) -> Pos {
        self.tokens.get(self.at).map_or(self.pos, |token| token.pos)
    }

    fn fault<T>(&self, text: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::new(self.place(), text))
    }

    fn take(&mut self, symbol: u8) -> bool {
        let is = *self.kind() == Kind::Symbol(symbol);
        self.at += usize::from(is);
        is
    }

    fn word(&mut self) -> Result<&'t str, Fault> {
        match self.kind() {
            Kind::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.fault("expected a name in the braces of an option"),
        }
    }

    /// Up to `end`, which is taken, or to the end of the tokens.
    fn fields(&mut self, message: &str, end: Option<u8>) -> Result<Tree, Fault> {
        self.depth += 1;
        if self.depth > 100 {
            return self.fault("braces are nested more than 100 deep");
        }
        let Some(of) = self.reader.message(message) else {
            return self.fault(format!("the message '{message}' is not defined"));
        };
        let mut tree = Tree::of(Some(of));
        loop {
            match end {
                Some(end) if self.take(end) => break,
                None if self.at >= self.tokens.len() => break,
                _ => {}
            }
            self.field(message, of, &mut tree)?;
            let _ = self.take(b',') || self.take(b';');
        }
        self.depth -= 1;
        Ok(tree)
    }

    fn field(&mut self, name: &str, message: &Message, tree: &mut Tree) -> Result<(), Fault> {
        let pos = self.place();
        let field = if self.take(b'[') {
            let written = self.extension_name()?;
            if let Some((domain, inner)) = written.rsplit_once('/') {
                return self.any(name, message, domain, inner, tree);
            }
            let field = self.reader.extension(&written, name, pos)?;
            if field.extendee().trim_start_matches('.') != name {
                return Err(Fault::new(pos, format!("'{written}' does not extend {name}")));
            }
            field
        } else {
            let written = self.word()?;
            match message.field.iter().find(|field| is_called(field, written)) {
                Some(field) => field,
                None => return Err(Fault::new(pos, format!("{name} has no field '{written}'"))),
            }
        };
        let colon = self.take(b':');
        if !colon && !field.is_message() {
            return self.fault("expected ':' in the braces of an option");
        }
        let packed = self.reader.is_packed(name, field);
        let mut values = Vec::new();
        if field.is_repeated() && self.take(b'[') {
            while !self.take(b']') {
                values.push(self.value(field)?);
                if !self.take(b',') && *self.kind() != Kind::Symbol(b']') {
                    return self.fault("expected ',' or ']' in the braces of an option");
                }
            }
        } else {
            values.push(self.value(field)?);
        }
        let branch = tree.branch(field, packed);
        if !branch.repeated && !branch.values.is_empty() {
            return Err(Fault::new(pos, format!("'{}' is set twice", field.name())));
        }
        branch.values.append(&mut values);
        if branch.values.is_empty() {
            tree.fields.remove(&(field.number() as u32));
        }
        Ok(())
    }

    /// Between brackets: of an extension, or of what `Any` holds, with slashes.
    fn extension_name(&mut self) -> Result<String, Fault> {
        let mut name = String::new();
        while !self.take(b']') {
            match self.kind() {
                Kind::Word(word) => name.push_str(word),
                Kind::Int(value) => name.push_str(&value.to_string()),
                Kind::Symbol(symbol @ (b'.' | b'/' | b'-')) => name.push(char::from(*symbol)),
                _ => return self.fault("expected the name of an extension"),
            }
            self.at += 1;
        }
        Ok(name)
    }

    fn any(
        &mut self,
        name: &str,
        message: &Message,
        domain: &str,
        inner: &str,
        tree: &mut Tree,
    ) -> Result<(), Fault> {
        if name != "google.protobuf.Any" || self.reader.any(inner).is_none() {
            return self
                .fault(format!("'{domain}/{inner}' is no message that {name} could hold here"));
        }
        self.take(b':');
        let end = self.opening()?;
        let value = self.fields(inner, Some(end))?;
        for (number, octets) in [(1, format!("{domain}/{inner}").into_bytes()), (2, value.encode())]
        {
            if let Some(field) = message.field.iter().find(|field| field.number() == number) {
                tree.branch(field, false).values.push(Leaf::Octets(octets));
            }
        }
        Ok(())
    }

    /// What closes what is opened here.
    fn opening(&mut self) -> Result<u8, Fault> {
        if self.take(b'{') {
            Ok(b'}')
        } else if self.take(b'<') {
            Ok(b'>')
        } else {
            self.fault("expected '{' in the braces of an option")
        }
    }

    fn value(&mut self, field: &Field) -> Result<Leaf, Fault> {
        let type_name = field.type_name().trim_start_matches('.');
        if field.is_message() {
            let end = self.opening()?;
            let mut tree = self.fields(type_name, Some(end))?;
            self.complete(type_name, &mut tree);
            return Ok(Leaf::Message(tree));
        }
        let pos = self.place();
        let value = self.raw()?;
        if field.r#type() != model::ENUM {
            let wrong = |what| {
                Fault::new(pos, format!("'{}' is {what}, not {}", field.name(), value.quote()))
            };
            return scalar(field.r#type(), &value, true).map_err(wrong);
        }
        let number = match &value {
            RawValue::Word(word) => self.reader.enum_value(type_name, word),
            _ => scalar(model::INT32, &value, true).ok(),
        };
        number
            .ok_or_else(|| Fault::new(pos, format!("{} is no value of {type_name}", value.quote())))
    }

    /// An entry of a map has key and value on the wire, whatever is written.
    fn complete(&self, message: &str, tree: &mut Tree) {
        let Some(entry) = self.reader.message(message).filter(|it| it.is_map_entry()) else {
            return;
        };
        for field in &entry.field {
            let branch = tree.branch(field, false);
            if branch.values.is_empty() {
                branch.values.push(match field.r#type() {
                    model::STRING | model::BYTES => Leaf::Octets(Vec::new()),
                    model::MESSAGE | model::GROUP => Leaf::Message(Tree::default()),
                    _ => Leaf::Number(0),
                });
            }
        }
    }

    fn raw(&mut self) -> Result<RawValue, Fault> {
        let minus = self.take(b'-');
        let kind = self.kind();
        self.at += 1;
        let value = match kind {
            Kind::Text(text) => {
                let mut text = text.clone();
                while let Kind::Text(more) = self.kind() {
                    text.extend_from_slice(more);
                    self.at += 1;
                }
                Some(RawValue::Text(text))
            }
            kind => value_of(kind.clone()),
        };
        match (minus, value) {
            (false, Some(value)) => Ok(value),
            (true, Some(RawValue::Int(value))) => Ok(RawValue::Negative(value)),
            (true, Some(RawValue::Float(value))) => Ok(RawValue::Float(-value)),
            (true, Some(RawValue::Word(word))) if word.to_ascii_lowercase().starts_with("inf") => {
                Ok(RawValue::Float(f64::NEG_INFINITY))
            }
            (true, Some(RawValue::Word(word))) if word.eq_ignore_ascii_case("nan") => {
                Ok(RawValue::Float(-f64::NAN))
            }
            _ => {
                self.at -= 1;
                self.fault("expected a value in the braces of an option")
            }
        }
    }
}

/// A group is called as its message is; so is what editions have in its place.
fn is_called(field: &Field, written: &str) -> bool {
    let type_name = field.type_name().rsplit('.').next().unwrap_or_default();
    let is_group = field.is_message() && type_name.to_ascii_lowercase() == field.name();
    field.name() == written || is_group && type_name == written
}
