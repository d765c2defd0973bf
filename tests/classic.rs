//! `docs/classic.md` holds what it says: each test that it names exists, each row has a counterpart or a reason, and each Rust name is
//! public.
//!
//! Reads text alone. A name counts as public where it stands behind `pub`, in a public trait or enum, or in a `pub use` of `lib.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The header of tables whose second column has Rust names.
const NAMES: &str = "Rust";
/// What a second column begins with that has no counterpart to name.
const REASONS: [&str; 2] = ["none: ", "not yet: "];

/// What the sources have.
struct Sources {
    public: BTreeSet<String>,
    /// As the page writes them.
    tests: BTreeSet<String>,
}

/// One row of a table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    cells: Vec<String>,
    named: bool,
}

#[test]
fn the_page_is_right() {
    let page = fs::read_to_string(root().join("docs/classic.md")).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 200, "{} rows", rows.len());
    let faults = faults(&rows, &Sources::read());
    assert!(faults.is_empty(), "docs/classic.md:\n{}", faults.join("\n"));
}

#[test]
fn what_is_wrong_on_a_page_is_found() {
    let sources = Sources::read();
    let of = |head: &str, row: &str| {
        let page = format!("| Python | {head} | Tests |\n|---|---|---|\n{row}\n");
        faults(&rows(&page), &sources)
    };
    let test = "`classic::the_page_is_right`";
    let good = format!("| `close` | `Channel::close`, soon | {test} |");
    assert_eq!(of("Rust", &good), [""; 0]);
    assert_eq!(of("Rust", "| `close` | not yet: later | |"), [""; 0]);
    assert_eq!(of("Here", &format!("| it hangs | it does not | {test} |")), [""; 0]);
    for (head, row, what) in [
        ("Rust", "| `close` | `Channel::close` | |", "no test"),
        ("Here", "| it hangs | it does not | |", "no test"),
        ("Rust", "| `close` | `Channel::close` | `classic::no_such` |", "no test classic::no_such"),
        ("Rust", "| `close` | `Channel::close` | `nowhere::x` |", "no test nowhere::x"),
        ("Rust", "| `close` | `Channel::close` | `classic::rows` |", "no test classic::rows"),
        ("Rust", "| `close` | `Channel::shut` | `classic::the_page_is_right` |", "shut"),
        // Public in its module, and no further.
        ("Rust", "| `close` | `Machine` | `classic::the_page_is_right` |", "Machine"),
        ("Rust", "| `close` | something | `classic::the_page_is_right` |", "neither"),
        ("Rust", "| `close` | | `classic::the_page_is_right` |", "neither"),
        ("Here", "| `close` | | `classic::the_page_is_right` |", "neither"),
        ("Rust", "| `close` | none: | |", "neither"),
        ("Rust", "| `close` | none: it is so |", "cells"),
        ("Rust", "| | none: it is so | |", "cells"),
    ] {
        let found = of(head, row);
        assert!(found.len() == 1 && found[0].contains(what), "{row}: {found:?}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of all tables of a page, without their heads.
fn rows(page: &str) -> Vec<Row> {
    let lines: Vec<&str> = page.lines().collect();
    let mut rows = Vec::new();
    let mut named = false;
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with('|') || line.starts_with("|---") {
            continue;
        }
        let cells = line.trim().trim_start_matches('|');
        let cells = cells.strip_suffix('|').unwrap_or(cells);
        let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().to_owned()).collect();
        if lines.get(at + 1).is_some_and(|next| next.starts_with("|---")) {
            named = cells.get(1).is_some_and(|head| head == NAMES);
            continue;
        }
        rows.push(Row { line: at + 1, cells, named });
    }
    rows
}

fn faults(rows: &[Row], sources: &Sources) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        let mut fault = |what: String| faults.push(format!("line {}: {what}", row.line));
        let [python, rust, tests] = row.cells.as_slice() else {
            fault(format!("{} cells", row.cells.len()));
            continue;
        };
        if python.is_empty() {
            fault("its first of three cells is empty".into());
            continue;
        }
        let reason = REASONS.iter().any(|begin| rust.starts_with(begin));
        let names = if row.named { spans(rust) } else { Vec::new() };
        if !reason && (rust.is_empty() || row.named && names.is_empty()) {
            fault("neither a counterpart nor a reason".into());
            continue;
        }
        for name in names.iter().flat_map(|span| span.split(|c: char| !is_of_name(c))) {
            if !name.is_empty() && !sources.public.contains(name) && !reason {
                fault(format!("{name} is not public"));
            }
        }
        let tests = spans(tests);
        if tests.is_empty() && !reason {
            fault("no test".into());
        }
        for test in tests {
            if !sources.tests.contains(test) {
                fault(format!("there is no test {test}"));
            }
        }
    }
    faults
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What stands between backquotes.
fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

impl Sources {
    fn read() -> Self {
        let mut sources = Self { public: BTreeSet::new(), tests: BTreeSet::new() };
        let src = root().join("src");
        for path in files(&src) {
            let text = fs::read_to_string(&path).unwrap();
            sources.public.extend(public_names(&text));
            if path.ends_with("src/lib.rs") {
                sources.public.extend(reexports(&text));
            }
            let module = module(&path, &src).replace('/', "::");
            let module = module.strip_suffix("::mod").unwrap_or(&module);
            // `a/tests.rs`, `a/tests/b.rs`, and `mod tests` within `a.rs`.
            let module = match module.contains("::tests") {
                true => module.to_owned(),
                false => format!("{module}::tests"),
            };
            let tests = test_names(&text);
            sources.tests.extend(tests.map(|name| format!("lib {module}::{name}")));
        }
        let folder = root().join("tests");
        for path in files(&folder) {
            let text = fs::read_to_string(&path).unwrap();
            let stem = module(&path, &folder);
            sources.tests.extend(test_names(&text).map(|name| format!("{stem}::{name}")));
        }
        sources
    }
}

/// A file's path in `folder`, without its ending.
fn module(path: &Path, folder: &Path) -> String {
    let path = path.strip_prefix(folder).unwrap().with_extension("");
    path.to_str().unwrap().to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false if path.extension().is_some_and(|ending| ending == "rs") => all.push(path),
            false => {}
        }
    }
    all
}

/// The functions that are tests.
fn test_names(text: &str) -> impl Iterator<Item = String> {
    text.split("#[test]").skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once("fn ")?;
        Some(first_name(rest).to_owned())
    })
}

fn first_name(text: &str) -> &str {
    text.split(|c: char| !is_of_name(c)).next().unwrap_or_default()
}

/// What stands behind `pub`, in public traits and enums, and what `constructors!` makes.
fn public_names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Within a public trait, a public enum, or the names of a macro, which end at a line without indentation.
    let mut within = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix("pub ") {
            let words = ["const ", "fn ", "struct ", "enum ", "trait ", "type ", "mod "];
            let rest =
                words.iter().fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
            names.insert(first_name(rest).to_owned());
        }
        match within {
            _ if line.starts_with("pub trait ") => within = Some("fn "),
            _ if line.starts_with("pub enum ") || line.starts_with("constructors!") => {
                within = Some("");
            }
            Some(begin) if line.starts_with("    ") && !line.starts_with("     ") => {
                if let Some(rest) = trimmed.strip_prefix(begin) {
                    names.insert(first_name(rest).to_owned());
                }
            }
            Some(_) if !line.is_empty() && !line.starts_with(' ') => within = None,
            _ => {}
        }
    }
    names
}

/// The names behind `pub use` in `lib.rs`.
fn reexports(text: &str) -> BTreeSet<String> {
    let uses = text.split("\npub use ").skip(1).filter_map(|rest| rest.split_once(';'));
    let names = uses.flat_map(|(names, _)| names.split(|c: char| !is_of_name(c)));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
