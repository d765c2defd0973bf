//! What is done to the text of a module before it is written: nothing in it may cause a warning in the
//! user's crate.

use super::docs::Docs;

/// Attributes before every item, and comments for their marks.
pub(crate) fn tidy(text: &str, docs: &Docs) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        if docs.put(line, &mut out) {
            continue;
        }
        // At the left margin are items only; their attributes hold for what is in them.
        if ITEMS.iter().any(|item| line.starts_with(item)) {
            out.push_str(ALLOW);
        }
        match value(line) {
            Some((head, digits)) => {
                out.push_str(head);
                separated(digits, &mut out);
                out.push(',');
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// An enum's value with a long number, up to that and the digits: the derive makes code of it, which no attribute of ours
/// reaches.
fn value(line: &str) -> Option<(&str, &str)> {
    let number = line.strip_suffix(',')?;
    let digits = number.len() - number.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, digits) = number.split_at_checked(number.len() - digits)?;
    let is_value = !head.trim_start().starts_with("//")
        && head.strip_suffix('-').unwrap_or(head).ends_with(" = ");
    (is_value && digits.len() > 5 && head.starts_with(' ')).then_some((head, digits))
}

/// By thousands.
pub(super) fn separated(digits: &str, out: &mut String) {
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push('_');
        }
        out.push(digit);
    }
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
            tidy(text, &Docs::default()),
            format!(
                "/// A.\n#[derive(Clone)]\n{ALLOW}pub struct A {{\n    pub x: i32,\n}}\n{ALLOW}impl A {{}}\n"
            )
        );
    }

    #[test]
    fn long_numbers_have_separators() {
        let text = "    A = -2147483648,\n    B = 99999,\n    /// C = 1000000,\n    D = 100000,\n";
        let tidied =
            "    A = -2_147_483_648,\n    B = 99999,\n    /// C = 1000000,\n    D = 100_000,\n";
        assert_eq!(tidy(text, &Docs::default()), tidied.replace("C = 1_000_000", "C = 1000000"));
    }
}
