//! The pages that list things list all of them: `examples/README.md` and `.ci/run` the examples, `docs/guides/README.md` the guides,
//! and `lib.rs` those whose code runs.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Programs, and a folder that is a crate of its own.
fn examples() -> Vec<String> {
    let is_one = |path: &PathBuf| {
        let program = path.extension().is_some_and(|kind| kind == "rs");
        program || path.join("main.rs").exists() || path.join("Cargo.toml").exists()
    };
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(&root().join("examples")).into_iter().filter(is_one).map(name).collect()
}

/// Those of `wanted` that a page does not have.
fn missing(page: &str, wanted: impl IntoIterator<Item = String>) -> Vec<String> {
    wanted.into_iter().filter(|wanted| !page.contains(wanted.as_str())).collect()
}

#[test]
fn every_example_has_its_line() {
    let examples = examples();
    assert!(examples.len() > 25, "{examples:?}");
    let lines = examples.iter().map(|name| format!("[`{name}`](")).collect::<Vec<_>>();
    assert_eq!(missing(&read("examples/README.md"), lines), [""; 0]);
    assert_eq!(missing("[`a`](a.rs)", ["[`a`](", "[`b`]("].map(str::to_owned)), ["[`b`]("]);
}

#[test]
fn every_example_is_run_by_the_checks() {
    let run = format!("{}{}", read(".ci/run"), read("tests/peers/run.sh"));
    // Compiled with the others; what it measures is for people.
    let by_hand = ["bench-client", "bench-server"];
    let names = examples().into_iter().filter(|name| !by_hand.contains(&name.as_str()));
    // The first one is in the README's command.
    let names = names.filter(|name| name != "greeter");
    assert_eq!(missing(&run, names), [""; 0]);
}

#[test]
fn every_guide_is_listed_and_its_code_runs() {
    let (list, lib) = (read("docs/guides/README.md"), read("src/lib.rs"));
    let pages = entries(&root().join("docs/guides")).into_iter();
    let pages = pages.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let pages: Vec<_> = pages.filter(|name| name != "README.md").collect();
    assert!(pages.len() >= 7);
    assert_eq!(missing(&list, pages.iter().map(|name| format!("]({name})"))), [""; 0]);
    assert_eq!(missing(&lib, pages.iter().map(|name| format!("docs/guides/{name}\""))), [""; 0]);
    for page in &pages {
        assert!(read(&format!("docs/guides/{page}")).contains("```rust\n"), "{page} has a program");
    }
}
