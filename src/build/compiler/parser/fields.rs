//! Fields: of messages, of oneofs, of extensions; maps and groups, which bring a message with them.

use super::super::model::{self, Field, Message};
use super::super::{Fault, tag};
use super::{Body, Kind, Parser};

/// Where a field stands.
pub(super) enum Scope {
    Message,
    /// With the index of the oneof.
    Oneof(i32),
    /// With what is extended.
    Extend(String),
}

impl Parser<'_> {
    pub(super) fn extend(&mut self, body: &mut Body<'_>) -> Result<(), Fault> {
        self.advance()?;
        let (extendee, pos) = self.full_name(true)?;
        self.end_of_other(b'{')?;
        let scope = Scope::Extend(extendee);
        let mut is_empty = true;
        while !self.block_ends()? {
            is_empty = false;
            let index = body.fields.len();
            self.field(body, &scope)?;
            self.inside(body.field_tag, index, |parser| {
                parser.here().other_kind = pos;
                Ok(())
            })?;
        }
        if is_empty { Err(Fault::new(pos, "an extension has to have a field")) } else { Ok(()) }
    }

    pub(super) fn field(&mut self, body: &mut Body<'_>, scope: &Scope) -> Result<(), Fault> {
        let index = body.fields.len();
        self.inside(body.field_tag, index, |parser| {
            let mut field = Field::default();
            parser.label(&mut field, scope)?;
            match scope {
                Scope::Message => {}
                Scope::Oneof(index) => field.oneof_index = Some(*index),
                Scope::Extend(extendee) => field.extendee = Some(extendee.clone()),
            }
            if parser.is_word("map") && parser.ahead().0 == Kind::Symbol(b'<') {
                return parser.map(field, body, scope);
            }
            if parser.is_word("group")
                && matches!(parser.ahead(), (Kind::Word(_), Kind::Symbol(b'=')))
            {
                let (Kind::Word(name), _) = parser.ahead() else {
                    return parser.unexpected("a name");
                };
                // A message may be called `group`, but fields of it are not spelt in capitals then.
                if name.starts_with(|c: char| c.is_ascii_uppercase()) || !parser.proto3() {
                    return parser.group(field, body);
                }
            }
            let pos = parser.token.pos;
            parser.here().kind = pos;
            match &parser.token.kind {
                Kind::Word(word) if model::scalar(word).is_some() => {
                    field.r#type = model::scalar(word);
                    parser.advance()?;
                }
                _ => field.type_name = Some(parser.full_name(true)?.0),
            }
            parser.name_and_number(&mut field)?;
            parser.field_options(&mut field)?;
            parser.end(b';')?;
            body.fields.push(field);
            Ok(())
        })
    }

    fn label(&mut self, field: &mut Field, scope: &Scope) -> Result<(), Fault> {
        let pos = self.token.pos;
        let label = match &self.token.kind {
            Kind::Word(word) if word == "optional" => Some(model::OPTIONAL),
            Kind::Word(word) if word == "required" => Some(model::REQUIRED),
            Kind::Word(word) if word == "repeated" => Some(model::REPEATED),
            _ => None,
        };
        let wrong = |text: &str| Err(Fault::new(pos, text));
        if label.is_some() {
            self.advance()?;
        }
        match label {
            Some(_) if matches!(scope, Scope::Oneof(_)) => {
                return wrong("fields of a oneof have no label");
            }
            Some(model::REQUIRED) if self.proto3() => {
                return wrong("proto3 has no required fields");
            }
            Some(model::REQUIRED) if self.file.is_editions() => {
                return wrong(
                    "editions have no 'required'; features.field_presence = LEGACY_REQUIRED is the same",
                );
            }
            Some(model::OPTIONAL) if self.file.is_editions() => {
                return wrong(
                    "editions have no 'optional': singular fields have presence, if features.field_presence says nothing else",
                );
            }
            Some(model::OPTIONAL) if self.proto3() => field.proto3_optional = Some(true),
            None if self.proto2() && !matches!(scope, Scope::Oneof(_)) && !self.map_follows() => {
                return wrong(
                    "expected 'optional', 'required' or 'repeated': in proto2 fields have a label",
                );
            }
            _ => {}
        }
        field.label = Some(label.unwrap_or(model::OPTIONAL));
        Ok(())
    }

    fn map_follows(&self) -> bool {
        self.is_word("map") && self.ahead().0 == Kind::Symbol(b'<')
    }

    fn name_and_number(&mut self, field: &mut Field) -> Result<(), Fault> {
        let (name, pos) = self.name("a name for the field")?;
        self.here().name = pos;
        field.name = Some(name);
        self.expect(b'=')?;
        field.number = Some(self.number()?);
        Ok(())
    }

    fn group(&mut self, mut field: Field, body: &mut Body<'_>) -> Result<(), Fault> {
        let pos = self.token.pos;
        if !self.proto2() {
            return Err(Fault::new(
                pos,
                "there are no groups but in proto2; features.message_encoding = DELIMITED is the same",
            ));
        }
        self.here().kind = pos;
        self.advance()?;
        self.name_and_number(&mut field)?;
        let at = self.here().name;
        let name = field.name.take().unwrap_or_default();
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return Err(Fault::new(at, "names of groups begin with a capital letter"));
        }
        field.name = Some(name.to_ascii_lowercase());
        field.r#type = Some(model::GROUP);
        field.type_name = Some(name.clone());
        self.field_options(&mut field)?;
        self.end(b'{')?;
        body.fields.push(field);
        let own = self.path.clone();
        // The message has the comments of the field, and a path beside it.
        let note = self.note(&own);
        let comments = (note.leading.clone(), note.trailing.clone(), note.detached.clone());
        let mut path = own.clone();
        path.truncate(own.len().saturating_sub(2));
        path.extend([body.message_tag, i32::try_from(body.messages.len()).unwrap_or(i32::MAX)]);
        let note = self.note(&path);
        note.name = at;
        (note.leading, note.trailing, note.detached) = comments;
        self.path = path;
        let message = self.message_body(name);
        self.path = own;
        body.messages.push(message?);
        Ok(())
    }

    fn map(&mut self, mut field: Field, body: &mut Body<'_>, scope: &Scope) -> Result<(), Fault> {
        let pos = self.token.pos;
        let wrong = |text: &str| Err(Fault::new(pos, text));
        match scope {
            Scope::Oneof(_) => return wrong("a oneof has no maps"),
            Scope::Extend(_) => return wrong("an extension is no map"),
            Scope::Message if self.label_was_given(&field) => return wrong("maps have no label"),
            Scope::Message => {}
        }
        self.here().kind = pos;
        self.advance()?;
        self.expect(b'<')?;
        let mut key = entry("key", 1);
        self.map_type(&mut key)?;
        self.expect(b',')?;
        let mut value = entry("value", 2);
        let value_pos = self.token.pos;
        self.map_type(&mut value)?;
        self.expect(b'>')?;
        self.name_and_number(&mut field)?;
        self.field_options(&mut field)?;
        self.end(b';')?;
        let name = entry_name(field.name());
        field.label = Some(model::REPEATED);
        field.r#type = Some(model::MESSAGE);
        field.type_name = Some(name.clone());
        body.fields.push(field);
        let mut path = self.path.clone();
        path.truncate(path.len().saturating_sub(2));
        let at = self.here().name;
        path.extend([body.message_tag, i32::try_from(body.messages.len()).unwrap_or(i32::MAX)]);
        self.note(&path).name = at;
        // What features the map has, its keys and values have.
        let options = self.here().options.iter();
        let features: Vec<_> = options.filter(|option| option.is_of_features()).cloned().collect();
        for (index, at) in [(0, pos), (1, value_pos)] {
            path.extend([tag::message::FIELD, index]);
            let note = self.note(&path);
            (note.name, note.kind) = (at, at);
            note.options.clone_from(&features);
            path.truncate(path.len().saturating_sub(2));
        }
        body.messages.push(Message {
            name: Some(name),
            field: vec![key, value],
            options: Some(tag::MAP_ENTRY_OPTION.to_vec()),
            ..Default::default()
        });
        Ok(())
    }

    fn label_was_given(&self, field: &Field) -> bool {
        field.proto3_optional() || field.label() != model::OPTIONAL
    }

    fn map_type(&mut self, field: &mut Field) -> Result<(), Fault> {
        match &self.token.kind {
            Kind::Word(word) if model::scalar(word).is_some() => {
                field.r#type = model::scalar(word);
                self.advance()?;
            }
            _ => field.type_name = Some(self.full_name(true)?.0),
        }
        Ok(())
    }
}

fn entry(name: &str, number: i32) -> Field {
    Field {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(model::OPTIONAL),
        ..Default::default()
    }
}

/// `foo_bar` to `FooBarEntry`.
pub(in super::super) fn entry_name(field: &str) -> String {
    let mut out = String::with_capacity(field.len() + 5);
    let mut capital = true;
    for c in field.chars() {
        if c == '_' {
            capital = true;
        } else if std::mem::take(&mut capital) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out + "Entry"
}
