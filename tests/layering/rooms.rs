//! The rooms of `src/server/`: their doors open one way, and no files in them import each other in a circle.
//!
//! A name that a module passes on (`pub use`) counts as an import of the file that has it. Test code counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::report;
use super::source::{self, File};

/// From below: a room imports itself and those before it. The files beside them are above all, and nobody's import.
const ROOMS: [&str; 3] = ["service", "dispatch", "life"];

/// Lines of a file in a room that are not tests.
const LONGEST_FILE: usize = 500;

#[test]
fn rooms_of_the_server_import_lower_ones_only() {
    report(doors(&Map::of(&source::read("src/server"))));
}

#[test]
fn files_of_the_server_import_each_other_in_no_circle() {
    report(Map::of(&source::read("src/server")).circles());
}

#[test]
fn files_of_the_servers_rooms_stay_short() {
    let files = source::read("src/server");
    let long = files.iter().filter(|file| file.lines_without_tests() > LONGEST_FILE);
    let told = |file: &File| format!("{}:1: more than {LONGEST_FILE} lines", file.path);
    report(long.map(told).collect());
}

#[test]
fn the_doors_that_are_wrong_are_found() {
    let found = |who: &str, text: &str| {
        let texts = [
            ("src/server/mod.rs", "mod life; pub use self::life::Options; pub struct Server;"),
            ("src/server/service/mod.rs", "pub use self::context::Context;"),
            ("src/server/service/context.rs", ""),
            ("src/server/dispatch/mod.rs", "mod method; pub(super) use method::Method;"),
            ("src/server/dispatch/method.rs", ""),
            ("src/server/life/mod.rs", "pub use self::options::Options;"),
            ("src/server/life/options.rs", ""),
            (who, text),
        ];
        let files: BTreeMap<_, _> = texts.into_iter().collect();
        let files: Vec<_> =
            files.into_iter().map(|(path, text)| File::new(path.into(), text.into())).collect();
        let map = Map::of(&files);
        (doors(&map).len(), map.circles().len())
    };
    let context = "src/server/service/context.rs";
    assert_eq!(found(context, "use crate::server::dispatch::Method;"), (1, 0));
    assert_eq!(found(context, "use super::super::dispatch::Method;"), (1, 0));
    assert_eq!(found(context, "fn f() { crate::server::life::options::x() }"), (1, 0));
    assert_eq!(found(context, "use crate::server::{Options, service::Context};"), (1, 0));
    assert_eq!(found(context, "use crate::server::Server;"), (1, 0));
    assert_eq!(found(context, "mod tests { use super::super::super::Server; }"), (1, 0));
    assert_eq!(found(context, "pub(in crate::server) struct Context; use crate::link::x;"), (0, 0));
    assert_eq!(found("src/server/events/mod.rs", ""), (1, 0), "no room");

    let method = "src/server/dispatch/method.rs";
    assert_eq!(found(method, "use crate::server::service::{self, Context}; use super::*;"), (0, 0));
    assert_eq!(found(method, "use crate::server::life::Options;"), (1, 0));
    let options = "src/server/life/options.rs";
    assert_eq!(found(options, "use crate::server::{dispatch::Method, service::Context};"), (0, 0));

    let circle = |a: &str, b: &str| {
        let texts = [("src/server/life/mod.rs", "pub use self::a::A; pub use self::b::B;")];
        let texts =
            texts.into_iter().chain([("src/server/life/a.rs", a), ("src/server/life/b.rs", b)]);
        let files: Vec<_> = texts.map(|(path, text)| File::new(path.into(), text.into())).collect();
        Map::of(&files).circles()
    };
    assert_eq!(circle("use super::b::B;", "use super::A;").len(), 1);
    assert_eq!(circle("use super::b::B;", "use crate::server::life::a;").len(), 1);
    assert_eq!(circle("use super::b::B;", "use self::x::A; mod tests { use super::*; }"), [""; 0]);
}

/// Which files import which.
struct Map {
    files: BTreeSet<String>,
    /// Who, whom, and where.
    edges: BTreeMap<(String, String), usize>,
}

impl Map {
    fn of(files: &[File]) -> Self {
        let modules: HashMap<_, _> =
            files.iter().map(|file| (file.module_path(), file.path.as_str())).collect();
        let mut passed_on = HashMap::new();
        for file in files {
            for import in file.imports().into_iter().filter(|import| import.passed_on) {
                let mut name = file.module_path();
                name.extend(import.path.last().cloned());
                passed_on.insert(name, import.path);
            }
        }
        let mut edges = BTreeMap::new();
        for file in files {
            for import in file.imports().iter().filter(|import| !import.passed_on) {
                let whom = file_of(&import.path, &modules, &passed_on, 0);
                if let Some(whom) = whom.filter(|whom| *whom != file.path) {
                    edges.entry((file.path.clone(), whom.to_owned())).or_insert(import.line);
                }
            }
        }
        Self { files: files.iter().map(|file| file.path.clone()).collect(), edges }
    }

    /// Each circle once, the shortest through its first file.
    fn circles(&self) -> Vec<String> {
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        for file in &self.files {
            if let Some(circle) = self.way_back(file).filter(|_| !known.contains(file)) {
                found.push(format!("{file}:1: a circle of imports: {}", circle.join(" -> ")));
                known.extend(circle);
            }
        }
        found
    }

    fn way_back(&self, start: &str) -> Option<Vec<String>> {
        let mut ways = VecDeque::from([vec![start.to_owned()]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            let last = way.last()?;
            for (_, whom) in self.edges.keys().filter(|(who, _)| who == last) {
                let mut longer = way.clone();
                longer.push(whom.clone());
                if whom == start {
                    return Some(longer);
                }
                if seen.insert(whom.clone()) {
                    ways.push_back(longer);
                }
            }
        }
        None
    }
}

/// The file that has what `path` leads to; `None`: it is not among these.
fn file_of<'a>(
    path: &[String],
    modules: &HashMap<Vec<String>, &'a str>,
    passed_on: &HashMap<Vec<String>, Vec<String>>,
    depth: usize,
) -> Option<&'a str> {
    let mut file = None;
    for length in 1..=path.len() {
        if let Some(module) = modules.get(&path[..length]) {
            file = Some(*module);
        } else if let Some(real) = passed_on.get(&path[..length]).filter(|_| depth < 8) {
            return file_of(real, modules, passed_on, depth + 1).or(file);
        }
    }
    file
}

/// Every import of a higher room, and every file in a directory that is no room.
fn doors(map: &Map) -> Vec<String> {
    let unknown = map.files.iter().filter(|file| room(file).is_none());
    let mut found: Vec<_> = unknown.map(|file| format!("{file}:1: it is in no room")).collect();
    for ((who, whom), line) in &map.edges {
        if room(who) < room(whom) {
            found.push(format!("{who}:{line}: a lower room imports a higher one: {whom}"));
        }
    }
    found
}

fn room(path: &str) -> Option<usize> {
    let inner = path.strip_prefix("src/server/")?;
    match inner.split_once('/') {
        None => Some(ROOMS.len()),
        Some((name, _)) => ROOMS.iter().position(|room| *room == name),
    }
}
