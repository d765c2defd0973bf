//! What is done to the text of a module before it is written: nothing in it may cause a warning in the
//! user's crate.

/// Attributes before every item.
pub(crate) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        // At the left margin are items only; their attributes hold for what is in them.
        if ITEMS.iter().any(|item| line.starts_with(item)) {
            out.push_str(ALLOW);
        }
        out.push_str(line);
        out.push('\n');
    }
    out
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
}
