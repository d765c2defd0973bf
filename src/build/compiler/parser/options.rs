//! Options as they are written, and the two of a field that are none: `default` and `json_name`.

use super::super::Fault;
use super::super::lexer::Kind;
use super::super::model::{self, Field};
use super::super::raw::{Part, RawOption, RawValue, value_of};
use super::Parser;

impl Parser<'_> {
    /// `option name = value;`.
    pub(super) fn option_statement(&mut self) -> Result<RawOption, Fault> {
        self.advance()?;
        let option = self.option()?;
        self.end_of_other(b';')?;
        Ok(option)
    }

    /// `[name = value, ..]`.
    pub(super) fn option_list(&mut self) -> Result<Vec<RawOption>, Fault> {
        let mut options = Vec::new();
        self.expect(b'[')?;
        loop {
            options.push(self.option()?);
            if !self.take(b',')? {
                break;
            }
        }
        self.expect(b']')?;
        Ok(options)
    }

    pub(super) fn field_options(&mut self, field: &mut Field) -> Result<(), Fault> {
        if !self.take(b'[')? {
            return Ok(());
        }
        let mut has_other = false;
        loop {
            let pos = self.token.pos;
            if self.take_word("default")? {
                self.expect(b'=')?;
                if field.default_value.is_some() {
                    return Err(Fault::new(pos, "'default' is set twice"));
                }
                field.default_value = Some(self.default_value(field)?);
            } else if self.take_word("json_name")? {
                self.expect(b'=')?;
                if field.extendee.is_some() {
                    return Err(Fault::new(pos, "extensions have no 'json_name'"));
                }
                if field.json_name.is_some() {
                    return Err(Fault::new(pos, "'json_name' is set twice"));
                }
                field.json_name = Some(self.utf8()?);
            } else {
                has_other = true;
                let option = self.option()?;
                self.here().options.push(option);
            }
            if !self.take(b',')? {
                break;
            }
        }
        self.here().has_options = has_other;
        self.expect(b']')
    }

    fn option(&mut self) -> Result<RawOption, Fault> {
        let pos = self.token.pos;
        let mut name = Vec::new();
        loop {
            if self.take(b'(')? {
                name.push(Part { name: self.full_name(true)?.0, is_extension: true });
                self.expect(b')')?;
            } else {
                let (part, _) = self.name("the name of an option")?;
                name.push(Part { name: part, is_extension: false });
            }
            if !self.take(b'.')? {
                break;
            }
        }
        self.expect(b'=')?;
        let value = self.option_value()?;
        Ok(RawOption { name, value, pos })
    }

    fn option_value(&mut self) -> Result<RawValue, Fault> {
        if self.take(b'{')? {
            return self.braces();
        }
        if self.take(b'-')? {
            let pos = self.token.pos;
            let token = self.advance()?;
            return match token.kind {
                Kind::Int(value) => Ok(RawValue::Negative(value)),
                Kind::Float(value) => Ok(RawValue::Float(-value)),
                Kind::Word(word) if word == "inf" => Ok(RawValue::Float(f64::NEG_INFINITY)),
                // Without its sign, as protoc has it; within braces the sign stays.
                Kind::Word(word) if word == "nan" => Ok(RawValue::Float(f64::NAN)),
                _ => Err(Fault::new(pos, "expected a number after '-'")),
            };
        }
        if let Kind::Text(_) = self.token.kind {
            return Ok(RawValue::Text(self.text()?));
        }
        let pos = self.token.pos;
        let kind = self.advance()?.kind;
        value_of(kind).ok_or_else(|| Fault::new(pos, "expected the value of an option"))
    }

    /// Up to the brace that closes the one before.
    fn braces(&mut self) -> Result<RawValue, Fault> {
        let mut tokens = Vec::new();
        let mut depth = 0_usize;
        loop {
            match self.token.kind {
                Kind::End => return self.unexpected("'}'"),
                Kind::Symbol(b'{') => depth += 1,
                Kind::Symbol(b'}') if depth == 0 => {
                    self.advance()?;
                    return Ok(RawValue::Braces(tokens));
                }
                Kind::Symbol(b'}') => depth -= 1,
                _ => {}
            }
            tokens.push(self.advance()?);
        }
    }

    /// As a descriptor has it.
    fn default_value(&mut self, field: &Field) -> Result<String, Fault> {
        let pos = self.token.pos;
        let Some(kind) = field.r#type else {
            // Of a message there is none: that is found when it is known what the name means.
            return Ok(self.name("the name of a value, as the default of an enum,")?.0);
        };
        let wrong = |text: &str| Fault::new(pos, text);
        match kind {
            model::INT32 | model::SINT32 | model::SFIXED32 => Ok(self.signed()?.to_string()),
            model::INT64 | model::SINT64 | model::SFIXED64 => {
                let minus = self.take(b'-')?;
                let value = self.int(if minus { 1 << 63 } else { i64::MAX as u64 })?;
                Ok(if minus && value > 0 { format!("-{value}") } else { value.to_string() })
            }
            model::UINT32 | model::FIXED32 => Ok(self.int(u64::from(u32::MAX))?.to_string()),
            model::UINT64 | model::FIXED64 => Ok(self.int(u64::MAX)?.to_string()),
            model::DOUBLE | model::FLOAT => {
                let minus = self.take(b'-')?;
                let value = match self.advance()?.kind {
                    Kind::Int(value) => value as f64,
                    Kind::Float(value) => value,
                    Kind::Word(word) if word == "inf" => f64::INFINITY,
                    Kind::Word(word) if word == "nan" => f64::NAN,
                    _ => return Err(wrong("expected a number as the default of this field")),
                };
                Ok(float_text(if minus { -value } else { value }, kind == model::FLOAT))
            }
            model::BOOL => match self.advance()?.kind {
                Kind::Word(word) if word == "true" || word == "false" => Ok(word),
                _ => Err(wrong("expected 'true' or 'false'")),
            },
            model::STRING => self.utf8(),
            model::BYTES => Ok(escape(&self.text()?)),
            _ => Err(wrong("a message has no default")),
        }
    }
}

/// As protoc writes numbers: with as few digits as give the same one.
fn float_text(value: f64, is_f32: bool) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if is_f32 {
        let narrow = value as f32;
        if narrow.is_infinite() {
            return if narrow > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
        }
        let short = general(f64::from(narrow), 6);
        return if short.parse() == Ok(narrow) { short } else { general(f64::from(narrow), 9) };
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let short = general(value, 15);
    if short.parse() == Ok(value) { short } else { general(value, 17) }
}

/// C's `%.*g`.
fn general(value: f64, precision: usize) -> String {
    let scientific = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs());
    }
    let decimals = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

/// C's escapes, as descriptors have defaults of type `bytes`.
fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' | b'\'' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_protoc_does() {
        for (value, narrow, text) in [
            (1.0, false, "1"),
            (-0.0, false, "-0"),
            (1.5e10, false, "15000000000"),
            (1e100, false, "1e+100"),
            (1e-7, false, "1e-07"),
            (0.1, true, "0.1"),
            (0.1, false, "0.1"),
            (1.0 / 3.0, false, "0.33333333333333331"),
            (1e40, true, "inf"),
            (f64::NEG_INFINITY, false, "-inf"),
            (16_777_217.0, true, "16777216"),
            (2e9, true, "2e+09"),
        ] {
            assert_eq!(float_text(value, narrow), text);
        }
    }

    #[test]
    fn octets_are_escaped() {
        assert_eq!(escape(b"a\"\\\n\xff\0z"), "a\\\"\\\\\\n\\377\\000z");
    }
}
