//! Rust text as far as the checks need it: tokens without comments and strings, which of them are tests, and paths.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// One name or sign. Strings, characters, numbers and comments are left out; a `::` is two tokens.
pub(crate) struct Token {
    pub(crate) text: &'static str,
    pub(crate) line: usize,
    /// Inside an item under `#[cfg(test)]`.
    pub(crate) in_tests: bool,
    /// How many `mod x { }` stand around it.
    nesting: usize,
}

/// One source file.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: &'static str,
    pub(crate) tokens: Vec<Token>,
    /// The whole file is a test: `tests.rs`, or declared under `#[cfg(test)]`.
    pub(crate) in_tests: bool,
}

/// A path in a file's text that leads to a module or to something in one.
pub(crate) struct Import {
    /// From the crate's root, without `crate`, `self` and `super`.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// It is passed on: `pub use`, to whomever.
    pub(crate) passed_on: bool,
    pub(crate) in_tests: bool,
}

/// All files below `folder`, with the test files among them known as such.
pub(crate) fn read(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    super::rust_files(&root.join(folder), &mut paths);
    let mut files: Vec<File> = paths
        .into_iter()
        .map(|path| File::new(path.clone(), fs::read_to_string(root.join(&path)).unwrap()))
        .collect();
    let tests: HashSet<String> = files.iter().flat_map(File::test_modules).collect();
    for file in &mut files {
        file.in_tests |= tests.iter().any(|module| file.module().starts_with(module.as_str()));
    }
    files
}

impl File {
    pub(crate) fn new(path: String, text: String) -> Self {
        // Leaked: a test process reads each file a handful of times, and borrowed tokens would need a second owner.
        let text: &'static str = Box::leak(text.into_boxed_str());
        let mut tokens = tokens(text);
        mark_tests(&mut tokens);
        mark_nesting(&mut tokens);
        let in_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        Self { path, text, tokens, in_tests }
    }

    /// The module of the crate's root that the file belongs to: `http2` for `src/http2/frame/data.rs`.
    pub(crate) fn top(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split('/').next().map_or("", |first| first.strip_suffix(".rs").unwrap_or(first))
    }

    /// `http2/frame/` for both `src/http2/frame/mod.rs` and `src/http2/frame.rs`.
    fn module(&self) -> String {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let inner = inner.strip_suffix("mod").unwrap_or(inner);
        if matches!(inner, "lib") {
            return String::new();
        }
        format!("{}/", inner.trim_end_matches('/'))
    }

    /// How many `super` lead from the file's own module to the root.
    fn depth(&self) -> usize {
        self.module().matches('/').count()
    }

    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    fn test_modules(&self) -> Vec<String> {
        let declared = self
            .tokens
            .windows(3)
            .filter(|w| w[0].text == "mod" && w[0].in_tests && w[2].text == ";");
        declared.map(|w| format!("{}{}/", self.module(), w[1].text)).collect()
    }

    pub(crate) fn lines_without_tests(&self) -> usize {
        if self.in_tests {
            return 0;
        }
        // Comments and strings inside a test are its lines too, so runs of test tokens count from first to last.
        let runs =
            self.tokens.chunk_by(|a, b| a.in_tests == b.in_tests).filter(|run| run[0].in_tests);
        let tests: usize = runs.map(|run| run[run.len() - 1].line + 1 - run[0].line).sum();
        self.text.lines().count().saturating_sub(tests)
    }

    /// Every path that begins at the crate's root, as segments without `crate` or `super`, groups taken apart.
    pub(crate) fn paths_from_root(&self) -> Vec<(Vec<String>, usize)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            let mut next = at + 1;
            let is_start = at == 0 || !self.is_colons(at - 1) || at < 2;
            if token.text == "crate" && self.is_colons(next) {
                self.path_tree(next + 2, &mut Vec::new(), &mut found);
            } else if token.text == "super" && is_start {
                let mut supers = 1;
                while self.is_colons(next) && self.text_at(next + 2) == "super" {
                    supers += 1;
                    next += 3;
                }
                if self.is_colons(next) && supers >= self.depth() + token.nesting {
                    self.path_tree(next + 2, &mut Vec::new(), &mut found);
                }
            }
            at = next;
        }
        found
    }

    /// The file's own module, from the crate's root.
    pub(crate) fn module_path(&self) -> Vec<String> {
        let module = self.module();
        module.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Every path that begins with `crate`, `self`, `super` or a module that is declared here.
    pub(crate) fn imports(&self) -> Vec<Import> {
        let is_declared = |w: &&[Token]| w[0].text == "mod" && w[2].text == ";";
        let declared: HashSet<_> =
            self.tokens.windows(3).filter(is_declared).map(|w| w[1].text).collect();
        let (mut found, mut at) = (Vec::new(), 0);
        while at < self.tokens.len() {
            let (start, token) = (at, &self.tokens[at]);
            at += 1;
            let before = start.checked_sub(1).map_or("", |before| self.text_at(before));
            // Behind an `in` it says who may see something.
            if matches!(before, ":" | "." | "in") || !self.is_colons(at) {
                continue;
            }
            let mut base = self.module_path();
            base.extend((0..token.nesting).map(|_| "{}".to_owned()));
            let mut next = at + 2;
            match token.text {
                "crate" => base.clear(),
                "self" => {}
                "super" => {
                    base.pop();
                    while self.text_at(next) == "super" && self.is_colons(next + 1) {
                        base.pop();
                        next += 3;
                    }
                }
                name if declared.contains(name) => next = start,
                _ => continue,
            }
            let passed_on = before == "use"
                && start.checked_sub(2).is_some_and(|at| matches!(self.text_at(at), "pub" | ")"));
            let mut paths = Vec::new();
            at = self.path_tree(next, &mut base, &mut paths).max(at);
            let in_tests = token.in_tests || self.in_tests;
            let import = |(path, line)| Import { path, line, passed_on, in_tests };
            found.extend(paths.into_iter().map(import));
        }
        found
    }

    /// Every name in its code, but for what stands in a `use`.
    pub(crate) fn names(&self) -> HashSet<&str> {
        let mut in_use = false;
        let starts = self.tokens.iter().zip(self.tokens.iter().skip(1));
        let outside = starts.filter(|(token, next)| {
            in_use = (in_use && token.text != ";") || (token.text == "use" && next.text != "<");
            !(in_use || token.in_tests)
        });
        outside.map(|(token, _)| token.text).collect()
    }

    /// Every path after the word `word`, such as `use`.
    pub(crate) fn paths_after(&self, word: &str) -> Vec<(Vec<String>, usize)> {
        let mut found = Vec::new();
        for (at, _) in self.tokens.iter().enumerate().filter(|(_, token)| token.text == word) {
            self.path_tree(at + 1, &mut Vec::new(), &mut found);
        }
        found
    }

    /// Every path that begins with `first` outside of tests, whole, groups taken apart.
    pub(crate) fn paths_from(&self, first: &str) -> Vec<(Vec<String>, usize)> {
        let mut found = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let begins = at == 0 || self.text_at(at - 1) != ":";
            if token.text == first && begins && !token.in_tests && !self.in_tests {
                self.path_tree(at, &mut Vec::new(), &mut found);
            }
        }
        found
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is_colons(&self, at: usize) -> bool {
        self.text_at(at) == ":" && self.text_at(at + 1) == ":"
    }

    /// Reads `a::b`, `a::{b, c::d}` or `{a, b}` at `at`; gives the position behind it.
    fn path_tree(
        &self,
        mut at: usize,
        before: &mut Vec<String>,
        found: &mut Vec<(Vec<String>, usize)>,
    ) -> usize {
        let length = before.len();
        loop {
            let text = self.text_at(at);
            if text == "{" {
                at += 1;
                while at < self.tokens.len() && self.text_at(at) != "}" {
                    let next = self.path_tree(at, before, found);
                    at = if self.text_at(next) == "," { next + 1 } else { next.max(at + 1) };
                }
                at += 1;
                break;
            }
            if text.is_empty() {
                break;
            }
            before.push(text.to_owned());
            at += 1;
            if self.is_colons(at) && is_path_part(self.text_at(at + 2)) {
                at += 2;
                continue;
            }
            found.push((before.clone(), self.tokens[at - 1].line));
            if self.text_at(at) == "as" {
                at += 2;
            }
            break;
        }
        before.truncate(length);
        at
    }
}

fn is_path_part(text: &str) -> bool {
    matches!(text, "{" | "*") || text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Cuts the text into names and signs.
fn tokens(text: &'static str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if text[at..].starts_with("//") => {
                at + text[at..].find('\n').unwrap_or(text.len() - at)
            }
            b'/' if text[at..].starts_with("/*") => block_comment(bytes, at),
            b'"' => string(bytes, at),
            b'r' | b'b' if starts_string(&bytes[at..]) => raw_or_byte_string(bytes, at),
            b'\'' => character_or_lifetime(text, at),
            c if c.is_ascii_alphanumeric() || c == b'_' || c >= 0x80 => {
                let end = at
                    + text[at..]
                        .find(|c: char| !c.is_alphanumeric() && c != '_')
                        .unwrap_or(text.len() - at);
                if !c.is_ascii_digit() {
                    found.push(Token { text: &text[at..end], line, in_tests: false, nesting: 0 });
                }
                end
            }
            c if c.is_ascii_whitespace() => at + 1,
            _ => {
                found.push(Token { text: &text[at..at + 1], line, in_tests: false, nesting: 0 });
                at + 1
            }
        };
        line += bytes[at..end].iter().filter(|byte| **byte == b'\n').count();
        at = end;
    }
    found
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at < bytes.len() && depth > 0 {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `"`, `#"`, `r"`, `br#"`, `b'`: what follows an `r` or `b` that is no name.
fn starts_string(rest: &[u8]) -> bool {
    let prefix = rest.iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b')).count();
    let raw = rest[..prefix].contains(&b'r');
    let hashes =
        if raw { rest[prefix..].iter().take_while(|byte| **byte == b'#').count() } else { 0 };
    match rest.get(prefix + hashes) {
        Some(b'"') => true,
        Some(b'\'') => rest[0] == b'b' && prefix == 1,
        _ => false,
    }
}

fn raw_or_byte_string(bytes: &[u8], start: usize) -> usize {
    let quote =
        start + bytes[start..].iter().position(|byte| matches!(byte, b'"' | b'\'')).unwrap_or(0);
    if bytes[quote] == b'\'' {
        return quote
            + 1
            + bytes[quote + 1..]
                .windows(2)
                .position(|w| w[1] == b'\'' && w[0] != b'\\')
                .map_or(0, |n| n + 2);
    }
    if !bytes[start..quote].contains(&b'r') {
        return string(bytes, quote);
    }
    let hashes = bytes[start..quote].iter().filter(|byte| **byte == b'#').count();
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let found = bytes[quote + 1..].windows(end.len()).position(|window| window == end);
    quote + 1 + found.map_or(bytes.len() - quote - 1, |n| n + end.len())
}

fn character_or_lifetime(text: &str, start: usize) -> usize {
    let mut chars = text[start + 1..].chars();
    match chars.next() {
        Some('\\') => start + 3 + text[start + 3..].find('\'').map_or(0, |n| n + 1),
        Some(c) if chars.next() == Some('\'') => start + 2 + c.len_utf8(),
        _ => start + 1,
    }
}

/// Marks the item behind each `#[cfg(test)]`, attribute included: to its `;` or the end of its braces.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        if tokens[at].text != "#" || tokens[at + 1].text != "[" {
            at += 1;
            continue;
        }
        let close = matching(tokens, at + 1, "[", "]");
        let words: Vec<&str> = tokens[at..close].iter().map(|token| token.text).collect();
        if !words.contains(&"cfg") || !words.contains(&"test") || words.contains(&"not") {
            at = close;
            continue;
        }
        let body = (close..tokens.len())
            .find(|n| matches!(tokens[*n].text, ";" | "{"))
            .unwrap_or(tokens.len() - 1);
        let end = if tokens[body].text == "{" { matching(tokens, body, "{", "}") } else { body };
        for token in &mut tokens[at..=end] {
            token.in_tests = true;
        }
        at = end + 1;
    }
}

fn mark_nesting(tokens: &mut [Token]) {
    for at in 0..tokens.len().saturating_sub(2) {
        if tokens[at].text == "mod" && tokens[at + 2].text == "{" {
            let end = matching(tokens, at + 2, "{", "}");
            for token in &mut tokens[at + 2..end] {
                token.nesting += 1;
            }
        }
    }
}

/// The position of the sign that closes the one at `open`, or the last token.
fn matching(tokens: &[Token], open: usize, opening: &str, closing: &str) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.text == opening {
            depth += 1;
        } else if token.text == closing {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len() - 1
}
