//! Names that do not clash: with the messages of the package, with each other, with keywords.

use std::collections::HashSet;

/// What the code of a service is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceNames {
    /// The trait.
    pub(crate) service: String,
    pub(crate) server: String,
    pub(crate) stub: String,
    /// A type parameter that hides no message.
    pub(crate) type_parameter: String,
    /// Another one.
    pub(crate) function_parameter: String,
}

impl ServiceNames {
    /// What it would like to be called, before it is known what is taken.
    pub(crate) fn unchosen(base: &str) -> Self {
        let [service, server, stub] = Self::types(base);
        let (type_parameter, function_parameter) = ("S".to_owned(), "F".to_owned());
        Self { service, server, stub, type_parameter, function_parameter }
    }

    /// The three names made of `base`, in the order trait, server, stub.
    fn types(base: &str) -> [String; 3] {
        let base = base.strip_prefix("r#").unwrap_or(base);
        [base.to_owned(), format!("{base}Server"), format!("{base}Stub")]
    }

    /// Names made of `base` if none of them is taken; else the one that is. Takes them.
    pub(crate) fn take(base: &str, taken: &mut HashSet<String>) -> Result<Self, String> {
        let types = Self::types(base);
        if let Some(name) = types.iter().find(|name| taken.contains(*name)) {
            return Err(name.clone());
        }
        taken.extend(types.iter().cloned());
        let [service, server, stub] = types;
        let type_parameter = free("S", taken);
        let function_parameter = free("F", taken);
        Ok(Self { service, server, stub, type_parameter, function_parameter })
    }
}

/// `base`, or `base` with the first number that makes it free.
fn free(base: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{base}{number}"));
    std::iter::once(base.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_default()
}

/// Takes `name` for a method, or with the first number that makes it free: `GetX` and
/// `getX` are two methods.
pub(crate) fn take_method(name: &str, taken: &mut HashSet<String>) -> String {
    let mut chosen = name.to_owned();
    let mut number = 2;
    while !taken.insert(chosen.clone()) {
        chosen = format!("{}_{number}", stem(name));
        number += 1;
    }
    chosen
}

/// An identifier without what makes it one though it is a keyword: `r#type`, `self_`.
pub(crate) fn stem(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name).trim_end_matches('_')
}

/// Whether `text` can be an identifier, a raw one if need be.
pub(crate) fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|rest| rest.is_ascii_alphanumeric() || rest == '_')
        && text != "_"
}

/// Whether `text` can be an identifier as it is.
pub(crate) fn is_identifier(text: &str) -> bool {
    is_word(text) && !KEYWORDS.contains(&text) && !NEVER_RAW.contains(&text)
}

/// The name as an identifier: raw if it is a keyword.
pub(crate) fn identifier(text: &str) -> String {
    if NEVER_RAW.contains(&text) {
        format!("{text}_")
    } else if KEYWORDS.contains(&text) {
        format!("r#{text}")
    } else {
        text.to_owned()
    }
}

/// The name with a capital letter in front.
pub(crate) fn type_name(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

/// `SayHello` to `say_hello`, `GetHTTPCode` to `get_http_code`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let chars: Vec<char> = name.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or('_');
        let after_is_lower = chars.get(at + 1).is_some_and(|c| c.is_lowercase());
        let word_begins =
            c.is_uppercase() && before != '_' && (!before.is_uppercase() || after_is_lower);
        if word_begins {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    identifier(&out)
}

/// A name as prost-build spells types: `HTTPRequest` to `HttpRequest`.
pub(crate) fn upper_camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for word in words(name) {
        let mut chars = word.chars();
        out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        out.extend(chars.map(|c| c.to_ascii_lowercase()));
    }
    sanitized(out)
}

/// A name as prost-build spells fields and modules: `HTTPRequest` to `http_request`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for word in words(name) {
        if !out.is_empty() {
            out.push('_');
        }
        out.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    }
    sanitized(out)
}

/// The value of an enum as prost-build spells it; without the enum's name in front, if that is to go.
pub(crate) fn variant(enum_name: &str, value: &str, strip: bool) -> String {
    let name = upper_camel(value);
    let rest =
        name.strip_prefix(enum_name).filter(|rest| strip && rest.starts_with(char::is_uppercase));
    match rest {
        Some(rest) => sanitized(rest.to_owned()),
        None => name,
    }
}

/// The words of a name, by its underscores and capitals, as the crate `heck` cuts them.
fn words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in name.split(|c: char| !c.is_alphanumeric()) {
        let (mut start, mut upper_before) = (0, false);
        let bytes = part.as_bytes();
        for (at, pair) in bytes.windows(2).enumerate() {
            let [c, next] = [pair[0], pair[1]];
            let is_upper =
                if c.is_ascii_alphabetic() { c.is_ascii_uppercase() } else { upper_before };
            let is_lower = c.is_ascii_lowercase()
                || !c.is_ascii_alphabetic() && at > start && !upper_before && {
                    let before = bytes.get(start..at).unwrap_or_default();
                    before.iter().any(u8::is_ascii_lowercase)
                };
            if is_lower && next.is_ascii_uppercase() {
                words.extend(part.get(start..=at));
                (start, upper_before) = (at + 1, false);
            } else if upper_before && c.is_ascii_uppercase() && next.is_ascii_lowercase() {
                words.extend(part.get(start..at));
                (start, upper_before) = (at, false);
            } else {
                upper_before = is_upper;
            }
        }
        words.extend(part.get(start..).filter(|word| !word.is_empty()));
    }
    words
}

/// An identifier as prost-build makes one.
fn sanitized(name: String) -> String {
    match &name[..] {
        "_" | "super" | "self" | "Self" | "extern" | "crate" => name + "_",
        word if KEYWORDS.contains(&word) => format!("r#{name}"),
        word if word.starts_with(|c: char| c.is_ascii_digit()) => format!("_{name}"),
        _ => name,
    }
}

/// The types that the text of a module has at its top: a nested module is one as far as names go.
pub(crate) fn types_of(text: &str) -> HashSet<String> {
    let item = |line: &str| {
        ["pub struct ", "pub enum ", "pub mod ", "pub trait "]
            .iter()
            .find_map(|head| line.strip_prefix(head))
            .and_then(|rest| {
                rest.split(|c: char| !(c.is_alphanumeric() || "_#".contains(c))).next()
            })
            .map(str::to_owned)
    };
    text.lines().filter_map(item).collect()
}

const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
    "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];
const NEVER_RAW: &[&str] = &["self", "Self", "super", "crate", "extern"];

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(names: &[&str]) -> HashSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_are_free_or_the_clash_is_told() {
        let mut all = taken(&["HelloRequest", "OtherStub"]);
        let names = ServiceNames::take("Greeter", &mut all).unwrap();
        assert_eq!(
            [&names.service[..], &names.server, &names.stub],
            ["Greeter", "GreeterServer", "GreeterStub"]
        );
        assert_eq!(ServiceNames::take("Other", &mut all).unwrap_err(), "OtherStub");
        assert_eq!(ServiceNames::take("Greeter", &mut all).unwrap_err(), "Greeter");
        // A service whose trait is called as another's stub is.
        assert_eq!(ServiceNames::take("GreeterStub", &mut all).unwrap_err(), "GreeterStub");
    }

    #[test]
    fn type_parameters_hide_no_message() {
        let names = ServiceNames::take("X", &mut taken(&["S", "S2", "F"])).unwrap();
        assert_eq!((&names.type_parameter[..], &names.function_parameter[..]), ("S3", "F2"));
    }

    #[test]
    fn methods_of_one_spelling_are_numbered() {
        let mut all = HashSet::new();
        assert_eq!(take_method("get_x", &mut all), "get_x");
        assert_eq!(take_method("get_x", &mut all), "get_x_2");
        assert_eq!(take_method("r#type", &mut all), "r#type");
        assert_eq!(take_method("r#type", &mut all), "type_2");
        assert_eq!(take_method("self_", &mut all), "self_");
        assert_eq!(take_method("self_", &mut all), "self_2");
    }

    #[test]
    fn snake_case_and_keywords() {
        for (name, snake) in [
            ("SayHello", "say_hello"),
            ("GetHTTPCode", "get_http_code"),
            ("getX", "get_x"),
            ("Type", "r#type"),
            ("Self", "self_"),
            ("V1List", "v1_list"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
        assert!(is_identifier("say_hello") && !is_identifier("type") && !is_identifier("a-b"));
        assert!(!is_identifier("") && !is_identifier("_") && !is_identifier("1a"));
    }

    #[test]
    fn names_are_spelt_as_prost_build_does() {
        for (name, spelt, camel) in [
            ("FooBarBAZ", "foo_bar_baz", "FooBarBaz"),
            ("XMLHttpRequest", "xml_http_request", "XmlHttpRequest"),
            ("FUZZ_buster", "fuzz_buster", "FuzzBuster"),
            ("_Fuzz", "fuzz", "Fuzz"),
            ("FuzZ_", "fuz_z", "FuzZ"),
            ("field_0_name6", "field_0_name6", "Field0Name6"),
            ("field0name5", "field0name5", "Field0name5"),
            ("fieldName7", "field_name7", "FieldName7"),
            ("FIELD_NAME11", "field_name11", "FieldName11"),
            ("__Field_name14", "field_name14", "FieldName14"),
            ("a1B", "a1_b", "A1B"),
            ("While", "r#while", "While"),
            ("self", "self_", "Self_"),
            ("_1", "_1", "_1"),
        ] {
            assert_eq!((&snake(name)[..], &upper_camel(name)[..]), (spelt, camel));
        }
        for (value, strip, name) in [
            ("FOO_BAR", true, "Bar"),
            ("FOOBAR", true, "Foobar"),
            ("FOO_BAR", false, "FooBar"),
            ("FOO_SELF", true, "Self_"),
        ] {
            assert_eq!(variant("Foo", value, strip), name);
        }
    }

    #[test]
    fn types_are_found_at_the_top_only() {
        let text = "#[x]\npub struct A {\n    pub x: i32,\n}\npub mod a {\n    pub enum B {\n";
        assert_eq!(types_of(text), taken(&["A", "a"]));
    }
}
