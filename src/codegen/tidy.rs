//! What is done to the text of a module before it is written: nothing in it may cause a warning in the
//! user's crate, and no comment of a `.proto` may become a test of theirs.

/// Attributes before every item, and comments made harmless.
pub(crate) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut docs = Docs::default();
    for line in text.lines() {
        docs.line(line, &mut out);
        // At the left margin are items only; their attributes hold for what is in them.
        if ITEMS.iter().any(|item| line.starts_with(item)) {
            out.push_str(ALLOW);
        }
        out.push_str(&docs.text(line));
        out.push('\n');
    }
    out
}

/// Follows a block of documentation. In Markdown a fence without a language, and text that is indented by
/// four, are Rust code, which `cargo test` would compile and run.
#[derive(Default)]
struct Docs {
    state: State,
    /// The line before had text: what is indented after it is no code.
    in_paragraph: bool,
}

#[derive(Default, PartialEq)]
enum State {
    #[default]
    Text,
    Fenced,
    Indented,
}

impl Docs {
    /// Puts what has to stand before `line`.
    fn line(&mut self, line: &str, out: &mut String) {
        let (margin, doc) = split(line);
        let indented = doc.is_some_and(|doc| doc.starts_with("     "));
        if self.state == State::Indented && !indented {
            out.push_str(margin);
            out.push_str("/// ```\n");
            self.state = State::Text;
        }
        let Some(doc) = doc else {
            *self = Self::default();
            return;
        };
        if self.state == State::Text && indented && !self.in_paragraph {
            out.push_str(margin);
            out.push_str("/// ```text\n");
            self.state = State::Indented;
        }
        self.in_paragraph = !doc.trim().is_empty() && self.state == State::Text;
    }

    /// `line` as it is to be written.
    fn text(&mut self, line: &str) -> String {
        let (margin, doc) = split(line);
        let fence =
            doc.map(str::trim).filter(|doc| doc.starts_with("```") || doc.starts_with("~~~"));
        match (fence, &self.state) {
            (Some(fence), State::Text) => {
                self.state = State::Fenced;
                self.in_paragraph = false;
                format!("{margin}/// {}text", &fence[..3])
            }
            (Some(_), State::Fenced) => {
                self.state = State::Text;
                line.to_owned()
            }
            _ => line.to_owned(),
        }
    }
}

/// What stands before the three slashes, and what after them.
fn split(line: &str) -> (&str, Option<&str>) {
    let text = line.trim_start();
    let margin = &line[..line.len() - text.len()];
    (margin, text.strip_prefix("///"))
}

const ITEMS: [&str; 8] = [
    "pub struct ",
    "pub enum ",
    "pub mod ",
    "pub trait ",
    "pub const ",
    "impl ",
    "impl<",
    "pub type ",
];

/// Not used by all, named as elsewhere, documented by others: nothing a user can do about.
pub(crate) const ALLOW: &str = "#[allow(dead_code, deprecated, missing_docs, nonstandard_style, \
     unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(text: &str) -> String {
        tidy(text).replace(ALLOW, "")
    }

    #[test]
    fn items_at_the_margin_are_quiet() {
        let text = "/// A.\n#[derive(Clone)]\npub struct A {\n    pub x: i32,\n}\nimpl A {}\n";
        assert_eq!(
            tidy(text),
            format!(
                "/// A.\n#[derive(Clone)]\n{ALLOW}pub struct A {{\n    pub x: i32,\n}}\n{ALLOW}impl A {{}}\n"
            )
        );
    }

    #[test]
    fn indented_text_is_no_code() {
        assert_eq!(
            docs("///\n///     not_rust(\n///     still\n/// text\npub struct A;\n"),
            "///\n/// ```text\n///     not_rust(\n///     still\n/// ```\n/// text\npub struct A;\n"
        );
        assert_eq!(
            docs("    ///     code\n    pub x: i32,\n"),
            "    /// ```text\n    ///     code\n    /// ```\n    pub x: i32,\n"
        );
        let continued = "/// a list\n///       goes on\npub struct A;\n";
        assert_eq!(docs(continued), continued);
    }

    #[test]
    fn fences_say_that_they_are_text() {
        assert_eq!(
            docs("/// ```\n/// x\n/// ```\n/// ```rust\n/// y\n/// ```\n"),
            "/// ```text\n/// x\n/// ```\n/// ```text\n/// y\n/// ```\n"
        );
    }
}
