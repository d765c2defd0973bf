//! The rooms of `src/server/`: their doors open one way, and no files in them import each other in a circle.
//!
//! Test code counts.

use std::collections::BTreeMap;

use super::map::Map;
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
