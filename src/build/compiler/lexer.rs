//! From the octets of a `.proto` to tokens, and to the comments between them.
//!
//! § "Protocol Buffers Language Specification", lexical elements; which comment belongs to what is as in protoc's
//! `io/tokenizer.cc`. Ignores what tokens mean. Octets, not text: a comment need not be UTF-8.

use super::{Fault, Pos};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A word: names and keywords alike.
    Word(String),
    Int(u64),
    /// Also an integer of more than 64 bits.
    Float(f64),
    /// What a string stands for.
    Text(Vec<u8>),
    Symbol(u8),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) pos: Pos,
}

/// The comments between a declaration's end and what follows it.
#[derive(Debug, Default)]
pub(super) struct Between {
    pub(super) trailing: Option<String>,
    pub(super) detached: Vec<String>,
    pub(super) leading: Option<String>,
}

#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    line_start: usize,
    begun: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self { text, at: 0, line: 0, line_start: 0, begun: false }
    }

    /// The next token; comments before it are left out.
    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        self.begun = true;
        loop {
            self.blanks();
            match self.peek() {
                Some(b'\n') => self.newline(),
                Some(b'/') if self.comment_follows() => drop(self.comment()?),
                _ => return self.token(),
            }
        }
    }

    /// The next token and the comments before it, after a token that ends a declaration.
    pub(super) fn next_with_comments(&mut self) -> Result<(Token, Between), Fault> {
        let mut comments = Collector::new(self.begun);
        if self.begun {
            // A comment on the line of what it follows belongs to that.
            self.blanks();
            if self.comment_follows() {
                let (text, is_line) = self.comment()?;
                comments.add(&text, is_line);
                comments.flush();
                self.blanks();
                if !is_line && self.peek() == Some(b'\n') {
                    self.newline();
                }
            } else if self.peek() == Some(b'\n') {
                self.newline();
            } else {
                return Ok((self.next()?, Between::default()));
            }
        }
        self.begun = true;
        loop {
            self.blanks();
            if self.comment_follows() {
                let (text, is_line) = self.comment()?;
                comments.add(&text, is_line);
                if !is_line {
                    self.blanks();
                    if self.peek() == Some(b'\n') {
                        self.newline();
                    }
                }
            } else if self.peek() == Some(b'\n') {
                self.newline();
                comments.flush();
                comments.may_trail = false;
            } else {
                let token = self.token()?;
                // At the end of a scope there is nothing that a comment could lead.
                if matches!(token.kind, Kind::Symbol(b'}' | b']' | b')') | Kind::End) {
                    comments.flush();
                }
                return Ok((token, comments.finish()));
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn pos(&self) -> Pos {
        let before = self.text.get(self.line_start..self.at).unwrap_or_default();
        // In characters: continuation octets of UTF-8 are no columns of their own.
        let column = before.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        Pos { line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | 0x0b | 0x0c)) {
            self.at += 1;
        }
    }

    fn newline(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_start = self.at;
    }

    fn comment_follows(&self) -> bool {
        self.peek() == Some(b'/') && matches!(self.peek_at(1), Some(b'/' | b'*'))
    }

    /// The text of a comment, and whether it is one of `//`.
    fn comment(&mut self) -> Result<(String, bool), Fault> {
        let start = self.pos();
        let is_line = self.peek_at(1) == Some(b'/');
        self.at += 2;
        let text = if is_line { self.line_comment() } else { self.block_comment(start)? };
        Ok((String::from_utf8_lossy(&text).into_owned(), is_line))
    }

    fn line_comment(&mut self) -> Vec<u8> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = rest.get(..end.map_or(rest.len(), |end| end + 1)).unwrap_or_default();
        match end {
            Some(end) => {
                self.at += end;
                self.newline();
            }
            None => self.at += line.len(),
        }
        line.to_vec()
    }

    /// Without the asterisks that its lines may begin with.
    fn block_comment(&mut self, start: Pos) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None => return Err(Fault::new(start, "this comment has no end")),
                Some(b'*') if self.peek_at(1) == Some(b'/') => {
                    self.at += 2;
                    return Ok(text);
                }
                Some(b'\n') => {
                    text.push(b'\n');
                    self.newline();
                    self.blanks();
                    if self.peek() == Some(b'*') && self.peek_at(1) != Some(b'/') {
                        self.at += 1;
                    }
                }
                Some(byte) => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn token(&mut self) -> Result<Token, Fault> {
        let pos = self.pos();
        let kind = match self.peek() {
            None => Kind::End,
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                Kind::Word(String::from_utf8_lossy(self.take_while(is_letter)).into_owned())
            }
            Some(b'0'..=b'9') => self.number(pos)?,
            Some(b'.') if self.peek_at(1).is_some_and(|byte| byte.is_ascii_digit()) => {
                self.number(pos)?
            }
            Some(quote @ (b'"' | b'\'')) => Kind::Text(self.string(quote, pos)?),
            Some(byte) if byte.is_ascii_graphic() => {
                self.at += 1;
                Kind::Symbol(byte)
            }
            Some(_) => {
                return Err(Fault::new(pos, "invalid token: a character that means nothing here"));
            }
        };
        Ok(Token { kind, pos })
    }

    fn take_while(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| !is(byte)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn number(&mut self, pos: Pos) -> Result<Kind, Fault> {
        let wrong = |what: &str| Fault::new(pos, what);
        let start = self.at;
        if self.peek() == Some(b'0') && matches!(self.peek_at(1), Some(b'x' | b'X')) {
            self.at += 2;
            let digits = String::from_utf8_lossy(self.take_while(|b| b.is_ascii_hexdigit()));
            let value = u64::from_str_radix(&digits, 16);
            self.no_letter(pos)?;
            return value
                .map(Kind::Int)
                .map_err(|_| wrong("this is no hexadecimal number of 64 bits"));
        }
        self.take_while(|byte| byte.is_ascii_digit());
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.take_while(|byte| byte.is_ascii_digit());
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.take_while(|byte| byte.is_ascii_digit()).is_empty() {
                return Err(wrong("an exponent needs digits"));
            }
        }
        let digits = self.text.get(start..self.at).unwrap_or_default();
        let digits = String::from_utf8_lossy(digits).into_owned();
        if is_float && matches!(self.peek(), Some(b'f' | b'F')) {
            self.at += 1;
        }
        self.no_letter(pos)?;
        let float = || digits.parse().map(Kind::Float).map_err(|_| wrong("this is no number"));
        if is_float {
            return float();
        }
        match digits.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            Some(octal) => u64::from_str_radix(octal, 8)
                .map(Kind::Int)
                .map_err(|_| wrong("this is no octal number of 64 bits")),
            None => digits.parse().map(Kind::Int).or_else(|_| float()),
        }
    }

    fn no_letter(&self, pos: Pos) -> Result<(), Fault> {
        match self.peek() {
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                Err(Fault::new(pos, "a number and a name need a space between them"))
            }
            _ => Ok(()),
        }
    }

    fn string(&mut self, quote: u8, pos: Pos) -> Result<Vec<u8>, Fault> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'\n' | 0) => {
                    return Err(Fault::new(pos, "this string has no end on its line"));
                }
                Some(byte) if byte == quote => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => self.escape(&mut out)?,
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let pos = self.pos();
        let wrong = || Fault::new(pos, "invalid escape in a string");
        self.at += 1;
        let letter = self.peek().ok_or_else(wrong)?;
        if let b'0'..=b'7' = letter {
            let value = self.digits(3, 8).ok_or_else(wrong)?;
            // As protoc does: of `\777` the lower eight bits.
            out.push(value as u8);
            return Ok(());
        }
        self.at += 1;
        out.push(match letter {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'\'' | b'"' | b'?' => letter,
            b'x' | b'X' => self.digits(2, 16).ok_or_else(wrong)? as u8,
            b'u' | b'U' => {
                let len = if letter == b'u' { 4 } else { 8 };
                let start = self.at;
                let mut value =
                    self.digits(len, 16).filter(|_| self.at == start + len).ok_or_else(wrong)?;
                if (0xd800..0xdc00).contains(&value)
                    && self.text.get(self.at..).unwrap_or_default().starts_with(b"\\u")
                {
                    let back = self.at;
                    self.at += 2;
                    match self.digits(4, 16) {
                        Some(low) if (0xdc00..0xe000).contains(&low) => {
                            value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
                        }
                        _ => self.at = back,
                    }
                }
                put_code_point(value, out).ok_or_else(wrong)?;
                return Ok(());
            }
            _ => return Err(wrong()),
        });
        Ok(())
    }

    /// A number of at most `len` digits; `None` where there is none.
    fn digits(&mut self, len: usize, radix: u32) -> Option<u32> {
        let mut value = 0;
        let mut count = 0;
        while count < len {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(radix)) else {
                break;
            };
            value = value * radix + digit;
            self.at += 1;
            count += 1;
        }
        (count > 0).then_some(value)
    }
}

/// UTF-8's scheme for any number of 21 bits, as protoc: also for halves of pairs, which are no characters.
fn put_code_point(value: u32, out: &mut Vec<u8>) -> Option<()> {
    let tail = |shift: u32| 0x80 | (value >> shift & 0x3f) as u8;
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0x7ff => out.extend([0xc0 | (value >> 6) as u8, tail(0)]),
        0x800..=0xffff => out.extend([0xe0 | (value >> 12) as u8, tail(6), tail(0)]),
        0x1_0000..=0x1f_ffff => {
            out.extend([0xf0 | (value >> 18) as u8, tail(12), tail(6), tail(0)]);
        }
        _ => return None,
    }
    Some(())
}

/// Comments, until it is known what they belong to.
struct Collector {
    text: Option<String>,
    is_line: bool,
    may_trail: bool,
    between: Between,
}

impl Collector {
    fn new(may_trail: bool) -> Self {
        Self { text: None, is_line: false, may_trail, between: Between::default() }
    }

    /// One more; lines of `//` that follow each other are one.
    fn add(&mut self, text: &str, is_line: bool) {
        if self.text.is_some() && !(is_line && self.is_line) {
            self.flush();
        }
        self.is_line = is_line;
        self.text.get_or_insert_default().push_str(text);
    }

    fn flush(&mut self) {
        if let Some(text) = self.text.take() {
            if std::mem::take(&mut self.may_trail) {
                self.between.trailing = Some(text);
            } else {
                self.between.detached.push(text);
            }
        }
    }

    fn finish(mut self) -> Between {
        self.between.leading = self.text.take();
        self.between
    }
}
