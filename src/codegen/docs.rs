//! Comments as documentation: whatever they hold, `cargo test` finds no code in them, and no word is lost.
//!
//! Reads the blocks of Markdown as rustdoc does, and writes them so that they read the same, but for code: fences say
//! that they are text, and text that is indented as code is gets a fence that says so. Ignores what is in a line.
//!
//! § CommonMark 0.31.2, "Container blocks and leaf blocks", appendix "A parsing strategy".

/// Comments, while a mark stands in the place of each: prost-build would put each line through two regular expressions.
#[derive(Debug, Default)]
pub(crate) struct Docs(Vec<Doc>);

#[derive(Debug)]
struct Doc {
    /// What stands before the item, as a comment of its own.
    detached: String,
    /// Markdown.
    text: String,
}

impl Docs {
    /// Keeps the comments of an element; returns its mark.
    pub(crate) fn add(
        &mut self,
        leading: Option<&str>,
        trailing: Option<&str>,
        detached: &[String],
    ) -> String {
        let mut text = leading.map(harmless).unwrap_or_default();
        if let Some(trailing) = trailing {
            let more = harmless(trailing);
            if !text.is_empty() && !more.is_empty() {
                text.push('\n');
            }
            text.push_str(&more);
        }
        let mut before = String::new();
        for block in detached {
            before.extend(visible(block).lines().map(|line| format!("{line}\n")));
            before.push('\n');
        }
        self.0.push(Doc { detached: before, text });
        format!("{MARK}{}", self.0.len() - 1)
    }

    fn of(&self, line: &str) -> Option<&Doc> {
        self.0.get(line.trim().strip_prefix(MARK)?.parse::<usize>().ok()?)
    }

    /// The comment that a mark stands for, as lines of documentation.
    pub(crate) fn lines(&self, mark: &[String]) -> Vec<String> {
        let text =
            mark.first().and_then(|line| self.of(line)).map_or("", |doc| doc.text.trim_end());
        let indent =
            |line: &str| if line.is_empty() { String::new() } else { format!(" {}", linked(line)) };
        text.lines().map(indent).collect()
    }

    /// Writes the comment if the line is the mark of one.
    pub(crate) fn put(&self, line: &str, out: &mut String) -> bool {
        let Some((margin, rest)) = line.split_once("///") else { return false };
        let Some(doc) = self.of(rest).filter(|_| margin.trim().is_empty()) else { return false };
        for line in doc.detached.lines() {
            if !line.is_empty() {
                out.extend([margin, "//", line]);
            }
            out.push('\n');
        }
        for line in doc.text.lines() {
            out.extend([margin, "///"]);
            if !line.is_empty() {
                out.push(' ');
                out.push_str(&linked(line));
            }
            out.push('\n');
        }
        true
    }
}

/// A line with its links in angle brackets, and without links that are none: brackets that nothing follows.
fn linked(line: &str) -> String {
    let mut rest = line;
    let mut out = String::with_capacity(line.len() + 8);
    while let Some(at) = ["http://", "https://"].iter().filter_map(|scheme| rest.find(scheme)).min()
    {
        let (before, link) = rest.split_at(at);
        let end = link.find(|c: char| c.is_whitespace() || c == ')').unwrap_or(link.len());
        let (link, after) = link.split_at(end);
        out.push_str(before);
        if link.ends_with("://") {
            out.push_str(link);
        } else {
            out.extend(["<", link, ">"]);
        }
        rest = after;
    }
    out.push_str(rest);
    if out.contains('[') { unbracketed(&out) } else { out }
}

/// `[x]` to `\[x\]`, if that is no link.
fn unbracketed(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 8);
    // As far as it is copied.
    let mut done = 0;
    for (open, _) in line.match_indices('[') {
        let before = line.get(..open).and_then(|text| text.chars().next_back());
        if open < done || matches!(before, Some(']' | '\\')) {
            continue;
        }
        let Some(close) = line.get(open..).and_then(|text| text.find(']')).map(|at| open + at)
        else {
            break;
        };
        let follows = |end: usize| line.get(end + 1..).unwrap_or_default().chars().next();
        let good = |end: usize| !matches!(follows(end), Some('(' | '['));
        let twice =
            line.get(close + 1..).is_some_and(|text| text.starts_with(']')) && good(close + 1);
        let close = if twice { close + 1 } else { close };
        let content = line.get(open + 1..close).unwrap_or_default();
        if content.ends_with('\\') || !good(close) {
            continue;
        }
        out.push_str(line.get(done..open).unwrap_or_default());
        out.extend(["\\[", content, "\\]"]);
        done = close + 1;
    }
    out.push_str(line.get(done..).unwrap_or_default());
    out
}

/// Of no comment that anybody writes: the first character for private use.
const MARK: char = '\u{e000}';

/// The comment as lines of Markdown, without code that would be run. The least indented of them are at the margin.
pub(crate) fn harmless(comment: &str) -> String {
    let mut reader = Reader::default();
    for line in lines(comment) {
        reader.line(&line);
    }
    reader.finish()
}

/// The comment as text, for where it is no documentation.
pub(crate) fn plain(comment: &str) -> String {
    visible(comment)
}

/// Ends of lines are one character, and none changes the direction of what comes after it.
fn visible(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !text.contains(is_bidi) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_bidi(c) { out.push_str(&format!("U+{:04X}", u32::from(c))) } else { out.push(c) }
    }
    out
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// With blanks for tabs, and without what all lines are indented by.
fn lines(comment: &str) -> Vec<String> {
    let text = visible(comment);
    let lines: Vec<String> = text.lines().map(expand).collect();
    let indents = lines.iter().filter(|line| !line.is_empty()).map(|line| indent_of(line));
    let least = indents.min().unwrap_or(0);
    lines.into_iter().map(|line| line.get(least..).unwrap_or_default().to_owned()).collect()
}

fn expand(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    // One right after the slashes is one step further than the blank that others have there.
    let line = match line.strip_prefix('\t') {
        Some(rest) => {
            out.push_str("     ");
            rest
        }
        None => line,
    };
    let mut column = out.len();
    for c in line.trim_end().chars() {
        if c == '\t' {
            let width = 4 - (column + 3) % 4;
            out.extend(std::iter::repeat_n(' ', width));
            column += width;
        } else {
            out.push(c);
            column += 1;
        }
    }
    out
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Container {
    Quote,
    /// An item of a list, with the columns that its content is indented by.
    Item(usize),
}

#[derive(Debug, Default, PartialEq)]
enum Leaf {
    #[default]
    None,
    Paragraph,
    Fence {
        mark: u8,
        len: usize,
        indent: usize,
    },
    Html(End),
}

/// What ends a block of HTML.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Blank,
    Text(&'static str),
}

#[derive(Default)]
struct Reader {
    containers: Vec<Container>,
    leaf: Leaf,
    out: String,
    /// The innermost item has had an empty line and nothing else: one more ends it.
    fresh: bool,
    /// Indented code that is being read: how its first line begins, how the others do, and its lines.
    code: Option<(String, String, Vec<String>)>,
}

impl Reader {
    fn put(&mut self, prefix: &str, body: &str) {
        let line = format!("{prefix}{body}");
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn finish(mut self) -> String {
        self.end_code();
        if let Leaf::Fence { mark, len, .. } = self.leaf {
            let prefix = self.prefix(self.containers.len());
            self.put(&prefix, &char::from(mark).to_string().repeat(len));
        }
        self.out
    }

    /// How a line begins that is in the first `depth` containers.
    fn prefix(&self, depth: usize) -> String {
        let parts = self.containers.iter().take(depth).map(|container| match container {
            Container::Quote => "> ".to_owned(),
            Container::Item(indent) => " ".repeat(*indent),
        });
        parts.collect()
    }

    fn line(&mut self, line: &str) {
        let (depth, rest) = self.matched(line);
        let prefix = self.prefix(depth);
        let inside = depth == self.containers.len();
        if self.code.is_some() {
            let indent = indent_of(rest);
            if inside && (rest.trim().is_empty() || indent >= 4) {
                if let Some((_, _, lines)) = &mut self.code {
                    lines.push(rest.get(4..).unwrap_or_default().to_owned());
                }
                return;
            }
            self.end_code();
        }
        match self.leaf {
            Leaf::Fence { mark, len, indent } if inside => {
                let body = rest.get(indent.min(indent_of(rest))..).unwrap_or_default();
                // What it is when its indent is gone, as it is written.
                if closes(body, mark, len) {
                    self.leaf = Leaf::None;
                    self.put(&prefix, rest.trim());
                } else {
                    self.put(&prefix, body);
                }
                return;
            }
            Leaf::Fence { mark, len, .. } => {
                // It ends with what it is in.
                let all = self.prefix(self.containers.len());
                self.put(&all, &char::from(mark).to_string().repeat(len));
                self.leaf = Leaf::None;
            }
            Leaf::Html(end) if inside => {
                let ends = match end {
                    End::Blank => rest.trim().is_empty(),
                    End::Text(text) => rest.to_ascii_lowercase().contains(text),
                };
                if ends {
                    self.leaf = Leaf::None;
                }
                self.put(&prefix, rest);
                return;
            }
            Leaf::Html(_) => self.leaf = Leaf::None,
            Leaf::None | Leaf::Paragraph => {}
        }
        self.blocks(depth, prefix, rest);
    }

    /// How many containers the line goes on with, and what follows their marks.
    fn matched<'l>(&self, line: &'l str) -> (usize, &'l str) {
        let mut rest = line;
        for (depth, container) in self.containers.iter().enumerate() {
            let indent = indent_of(rest);
            rest = match container {
                Container::Quote => {
                    match rest.trim_start().strip_prefix('>').filter(|_| indent < 4) {
                        Some(after) => after.strip_prefix(' ').unwrap_or(after),
                        None => return (depth, rest),
                    }
                }
                Container::Item(_) if rest.trim().is_empty() => {
                    if self.fresh && depth + 1 == self.containers.len() {
                        return (depth, rest);
                    }
                    ""
                }
                Container::Item(content) if indent >= *content => {
                    rest.get(*content..).unwrap_or_default()
                }
                Container::Item(_) => return (depth, rest),
            };
        }
        (self.containers.len(), rest)
    }

    /// What begins in a line, after the containers that it goes on with.
    fn blocks(&mut self, mut depth: usize, mut prefix: String, mut rest: &str) {
        let before = depth;
        loop {
            let opened = depth > before;
            let text = rest.trim_start();
            if text.is_empty() {
                self.fresh = opened && matches!(self.containers.last(), Some(Container::Item(_)));
                self.containers.truncate(depth);
                self.leaf = Leaf::None;
                return self.put(&prefix, "");
            }
            self.fresh = false;
            let mut indent = indent_of(rest);
            if indent >= 4 && self.leaf != Leaf::Paragraph {
                self.containers.truncate(depth);
                let others = self.prefix(depth);
                let body = rest.get(4..).unwrap_or_default().to_owned();
                self.code = Some((prefix, others, vec![body]));
                return;
            }
            // A paragraph that goes on: its indent means nothing, and less of it can mean no more.
            indent = indent.min(3);
            // One blank is what those who write it down put there themselves.
            if prefix.is_empty() && indent == 1 {
                indent = 0;
            }
            if let Some(after) = text.strip_prefix('>') {
                self.open(&mut depth, &mut prefix, Container::Quote, "> ");
                rest = after.strip_prefix(' ').unwrap_or(after);
                continue;
            }
            if let Some((mark, len)) = fence(text) {
                self.containers.truncate(depth);
                self.leaf = Leaf::Fence { mark, len, indent };
                let mark = text.get(..len).unwrap_or("```");
                return self.put(&prefix, &format!("{mark}text"));
            }
            let whole = depth == self.containers.len();
            if self.leaf == Leaf::Paragraph && whole && is_underline(text)
                || is_heading(text)
                || is_rule(text)
            {
                self.containers.truncate(depth);
                self.leaf = Leaf::None;
                return self.put(&prefix, text);
            }
            let interrupts = self.leaf == Leaf::Paragraph && whole;
            if let Some((width, after)) = item(text, interrupts) {
                let blanks = indent_of(after);
                // Many blanks are one, and code.
                let gap = if after.trim().is_empty() || blanks > 4 { 1 } else { blanks };
                let marker = text.get(..width).unwrap_or_default();
                let begin = format!("{}{marker}{}", " ".repeat(indent), " ".repeat(gap));
                self.open(&mut depth, &mut prefix, Container::Item(indent + width + gap), &begin);
                rest = after.get(gap..).unwrap_or_default();
                continue;
            }
            if let Some(end) = html(text) {
                self.containers.truncate(depth);
                let done = matches!(end, End::Text(end) if text.to_ascii_lowercase().contains(end));
                self.leaf = if done { Leaf::None } else { Leaf::Html(end) };
                return self.put(&prefix, text);
            }
            if self.leaf != Leaf::Paragraph {
                self.containers.truncate(depth);
            }
            self.leaf = Leaf::Paragraph;
            let text = escaped(text);
            return self.put(&prefix, &format!("{}{text}", " ".repeat(indent)));
        }
    }

    fn open(&mut self, depth: &mut usize, prefix: &mut String, container: Container, begin: &str) {
        self.containers.truncate(*depth);
        self.containers.push(container);
        self.leaf = Leaf::None;
        *depth += 1;
        prefix.push_str(begin);
    }

    /// Writes the code that has been read, with a fence around it; empty lines after it are none of it.
    fn end_code(&mut self) {
        let Some((first, others, mut lines)) = self.code.take() else { return };
        let mut blank = 0;
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
            blank += 1;
        }
        let mark = if lines.iter().any(|line| line.contains("```")) { "~~~~~~" } else { "```" };
        let mark =
            if lines.iter().any(|line| line.contains("~~~~~~")) { "````````````" } else { mark };
        self.put(&first, &format!("{mark}text"));
        for line in lines {
            self.put(&others, &line);
        }
        self.put(&others, mark);
        for _ in 0..blank {
            self.put(&others, "");
        }
    }
}

/// What a fence is made of, and of how many.
fn fence(text: &str) -> Option<(u8, usize)> {
    let mark = text.bytes().next().filter(|mark| b"`~".contains(mark))?;
    let len = text.bytes().take_while(|&byte| byte == mark).count();
    let info = text.get(len..)?;
    (len >= 3 && !(mark == b'`' && info.contains('`'))).then_some((mark, len))
}

fn closes(line: &str, mark: u8, len: usize) -> bool {
    let text = line.trim();
    indent_of(line) < 4 && text.len() >= len && text.bytes().all(|byte| byte == mark)
}

fn is_underline(text: &str) -> bool {
    let text = text.trim_end();
    text.bytes().all(|byte| byte == b'=') || text.bytes().all(|byte| byte == b'-')
}

fn is_heading(text: &str) -> bool {
    let len = text.bytes().take_while(|&byte| byte == b'#').count();
    (1..=6).contains(&len)
        && text.get(len..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn is_rule(text: &str) -> bool {
    let mut marks = text.bytes().filter(|&byte| byte != b' ');
    let Some(mark) = marks.next().filter(|mark| b"*-_".contains(mark)) else { return false };
    let mut count = 1;
    marks.all(|byte| {
        count += 1;
        byte == mark
    }) && count >= 3
}

/// A line of text, without what begins a block that the reader does not follow: footnotes, tasks, tags that stand
/// alone, and items of lists that begin one after a table and none after other text.
fn escaped(text: &str) -> String {
    if let Some((width, _)) = item(text, false) {
        let (digits, rest) = text.split_at_checked(width - 1).unwrap_or(("", text));
        return format!("{digits}\\{rest}");
    }
    let is_tag = || {
        let rest = text.strip_prefix('<').map(|rest| rest.strip_prefix('/').unwrap_or(rest));
        let after = rest
            .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-'));
        after.is_some_and(|after| after.is_empty() || after.starts_with([' ', '>', '/', '!']))
    };
    let is_other = ["[^", "[ ]", "[x]", "[X]"].iter().any(|start| text.starts_with(start));
    if is_other || is_tag() { format!("\\{text}") } else { text.to_owned() }
}

/// The width of a list's mark, and what follows it.
fn item(text: &str, interrupts: bool) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let width = match text.as_bytes().get(digits).copied() {
        Some(b'-' | b'+' | b'*') if digits == 0 => 1,
        Some(b'.' | b')') if (1..=9).contains(&digits) => digits + 1,
        _ => return None,
    };
    let after = text.get(width..)?;
    if !after.is_empty() && !after.starts_with(' ') {
        return None;
    }
    // In the middle of a paragraph a number is more likely to be one.
    if interrupts && (after.trim().is_empty() || digits > 0 && text.get(..digits)?.parse() != Ok(1))
    {
        return None;
    }
    Some((width, after))
}

/// The end of the block of HTML that begins here.
fn html(text: &str) -> Option<End> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix('<')?;
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '>']);
    for (tag, end) in [("script", "</"), ("pre", "</"), ("style", "</"), ("textarea", "</")] {
        if rest.strip_prefix(tag).is_some_and(ends) {
            return Some(End::Text(match tag {
                "script" => "</script>",
                "pre" => "</pre>",
                "style" => "</style>",
                _ => {
                    if end.is_empty() {
                        end
                    } else {
                        "</textarea>"
                    }
                }
            }));
        }
    }
    for (start, end) in [("!--", "-->"), ("?", "?>")] {
        if rest.starts_with(start) {
            return Some(End::Text(end));
        }
    }
    if rest
        .strip_prefix('!')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
    {
        return Some(End::Text(">"));
    }
    let name = rest.strip_prefix('/').unwrap_or(rest);
    let len = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let (name, after) = name.split_at_checked(len)?;
    if BLOCKS.contains(&name) && (ends(after) || after.starts_with("/>")) {
        return Some(End::Blank);
    }
    None
}

const BLOCKS: [&str; 62] = [
    "address",
    "article",
    "aside",
    "base",
    "basefont",
    "blockquote",
    "body",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "iframe",
    "legend",
    "li",
    "link",
    "main",
    "menu",
    "menuitem",
    "nav",
    "noframes",
    "ol",
    "optgroup",
    "option",
    "p",
    "param",
    "search",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "track",
    "ul",
];

#[cfg(test)]
mod tests;
