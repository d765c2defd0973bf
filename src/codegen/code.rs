//! Text of Rust code, line by line, with indentation.

/// The text so far, and how deep the next line is.
#[derive(Debug, Default)]
pub(super) struct Code {
    text: String,
    depth: usize,
}

impl Code {
    /// One line; an empty one has no indentation.
    pub(super) fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.extend(std::iter::repeat_n("    ", self.depth));
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    /// A line that opens a block.
    pub(super) fn open(&mut self, line: &str) {
        self.line(line);
        self.depth += 1;
    }

    /// The line that closes the block opened last.
    pub(super) fn close(&mut self, line: &str) {
        self.dedent();
        self.line(line);
    }

    /// A line that closes a block and opens another.
    pub(super) fn reopen(&mut self, line: &str) {
        self.close(line);
        self.depth += 1;
    }

    /// Ends a block that has no closing line.
    pub(super) fn dedent(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Lines of documentation.
    pub(super) fn docs<T: AsRef<str>>(&mut self, docs: &[T]) {
        for line in docs {
            let line = line.as_ref();
            let space = if line.is_empty() || line.starts_with(' ') { "" } else { " " };
            self.line(format!("///{space}{line}").trim_end());
        }
    }

    pub(super) fn deprecated(&mut self, deprecated: bool) {
        if deprecated {
            self.line("#[deprecated]");
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
