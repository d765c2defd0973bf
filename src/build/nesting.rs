//! Packages whose module is that of a message: `package a.foo` beside `message a.Foo`, which has types in it.
//!
//! Rust has one module of a name, so the package's text goes into the message's.

use std::collections::BTreeMap;

use prost_build::Module;

/// Moves texts into others where they have to be; returns which went where.
pub(super) fn nest(
    texts: &mut BTreeMap<Module, String>,
    may: impl Fn(&Module) -> bool,
) -> Vec<(Module, Module)> {
    let mut moved = Vec::new();
    let mut modules: Vec<Module> = texts.keys().filter(|module| may(module)).cloned().collect();
    modules.sort_by_key(Module::len);
    for module in modules {
        let parts: Vec<String> = module.parts().map(str::to_owned).collect();
        let home = (0..parts.len()).find_map(|len| {
            let (outer, inner) = parts.split_at(len);
            let outer = Module::from_parts(outer.iter().cloned());
            let first = inner.first()?;
            let has = |text: &String| opening(&lines(text), 0, first).is_some();
            (may(&outer) && texts.get(&outer).is_some_and(has)).then_some((outer, len))
        });
        let Some((outer, len)) = home else { continue };
        let Some(body) = texts.remove(&module) else { continue };
        if let Some(text) = texts.get_mut(&outer) {
            *text = insert(text, parts.get(len..).unwrap_or_default(), &body);
            moved.push((module, outer));
        }
    }
    moved
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// The line that opens a module, among those that are indented `depth` deep.
fn opening(lines: &[&str], depth: usize, name: &str) -> Option<usize> {
    let head = format!("{}pub mod {name} {{", "    ".repeat(depth));
    lines.iter().position(|line| *line == head)
}

fn insert(text: &str, parts: &[String], body: &str) -> String {
    let lines = lines(text);
    let (mut start, mut end) = (0, lines.len());
    let mut depth = 0;
    let mut missing = parts;
    while let Some((name, rest)) = missing.split_first() {
        let within = lines.get(start..end).unwrap_or_default();
        let Some(at) = opening(within, depth, name) else { break };
        start += at + 1;
        let close = format!("{}}}", "    ".repeat(depth));
        let length =
            lines.get(start..end).unwrap_or_default().iter().position(|line| *line == close);
        end = start + length.unwrap_or(end - start);
        depth += 1;
        missing = rest;
    }
    let mut out = String::with_capacity(text.len() + body.len() * 9 / 8);
    let mut put = |depth: usize, line: &str| {
        if !line.is_empty() {
            out.extend(std::iter::repeat_n("    ", depth));
            out.push_str(line);
        }
        out.push('\n');
    };
    lines.iter().take(start).for_each(|line| put(0, line));
    for (at, name) in missing.iter().enumerate() {
        put(depth + at, &format!("pub mod {name} {{"));
    }
    body.lines().for_each(|line| put(depth + missing.len(), line));
    for at in (0..missing.len()).rev() {
        put(depth + at, "}");
    }
    lines.iter().skip(start).for_each(|line| put(0, line));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> Module {
        Module::from_protobuf_package_name(name)
    }

    #[test]
    fn a_package_goes_into_the_module_of_its_name() {
        let mut texts = BTreeMap::from([
            (
                module("a"),
                "pub struct Foo;\npub mod foo {\n    pub mod bar {\n        x\n    }\n}\n"
                    .to_owned(),
            ),
            (module("a.foo"), "pub struct B;\n".to_owned()),
            (module("a.foo.bar"), "pub struct C;\n".to_owned()),
            (module("a.foo.other.deep"), "pub struct D;\n\n".to_owned()),
            (module("a.far"), "pub struct E;\n".to_owned()),
        ]);
        let moved = nest(&mut texts, |_| true);
        assert_eq!(moved.len(), 3);
        let names: Vec<_> = texts.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "a::far"]);
        assert_eq!(
            texts[&module("a")],
            "pub struct Foo;\npub mod foo {\n    pub mod other {\n        pub mod deep {\n            pub struct D;\n\n        }\n    }\n    \
             pub struct B;\n    pub mod bar {\n        pub struct C;\n        x\n    }\n}\n"
        );
    }
}
