//! The doors between the files of `link/`, `call/`, `channel/` and `reactor/`: two may import each other, as a type and what it is
//! made of, but no circle leads through more. And none of these files is long. Test code does not count for either.

use super::map::Map;
use super::report;
use super::source::{self, File};

const FOLDERS: [&str; 4] = ["src/link", "src/call", "src/channel", "src/reactor"];

/// Lines of a file there that are not tests.
const LONGEST_FILE: usize = 450;

/// So many files may import each other.
const PAIR: usize = 2;

/// Who, whom: doors that lead upwards and stay, since a trait names what its users are given, which knows who keeps them. A link
/// keeps with each request who answers it, and whoever answers is given a stream, which is the link's.
const UPWARDS: [(&str, &str); 1] = [("src/link/face.rs", "src/link/stream.rs")];

#[test]
fn no_more_than_two_files_import_each_other_in_a_circle() {
    let mut maps: Vec<_> =
        FOLDERS.iter().map(|folder| Map::without_tests(&source::read(folder))).collect();
    let mut found = Vec::new();
    for (who, whom) in UPWARDS {
        let door = (who.to_owned(), whom.to_owned());
        if !maps.iter_mut().any(|map| map.edges.remove(&door).is_some()) {
            found.push(format!("{who}:1: the door to {whom} is there no more"));
        }
    }
    found.extend(maps.iter().flat_map(knots));
    report(found);
}

#[test]
fn files_between_wire_and_stubs_stay_short() {
    let files = FOLDERS.iter().flat_map(|folder| source::read(folder));
    let long = files.filter(|file| file.lines_without_tests() > LONGEST_FILE);
    let told = |file: File| {
        let lines = file.lines_without_tests();
        format!("{}:1: {lines} lines without tests, {LONGEST_FILE} at most", file.path)
    };
    report(long.map(told).collect());
}

#[test]
fn the_knots_that_are_wrong_are_found() {
    let found = |texts: &[(&str, &str)]| {
        let file = |(path, text): &(&str, &str)| {
            File::new(format!("src/link/{path}.rs"), (*text).to_owned())
        };
        let files: Vec<_> = texts.iter().map(file).collect();
        knots(&Map::without_tests(&files))
    };
    let three = |c| found(&[("a", "use super::b::B;"), ("b", "use super::c::C;"), ("c", c)]);
    assert_eq!(
        three("use super::a::A;"),
        ["src/link/a.rs:1: 3 files import each other: src/link/a.rs, src/link/b.rs, src/link/c.rs"]
    );
    assert_eq!(three("use super::b::B;"), [""; 0], "a pair");
    assert_eq!(three("fn f() { super::a::g() }").len(), 1);
    assert_eq!(three("#[cfg(test)]\nmod tests { use super::super::a::A; }"), [""; 0]);

    // Two circles through one file are a knot of three.
    let b = ("b", "use super::a::A;");
    let star = [("a", "use super::{b::B, c::C};"), b, ("c", "use super::a::A;")];
    assert_eq!(found(&star).len(), 1);

    // What the module passes on leads to whose it is; and it is an import where the module itself names it.
    let (a, b) = (("a", "use super::B;"), ("b", "use super::Link;"));
    let passes = "mod a; mod b; pub(crate) use b::B;";
    assert_eq!(found(&[("mod", &format!("{passes} use a::A; struct Link;")), a, b]).len(), 1);
    assert_eq!(found(&[("mod", &format!("{passes} struct Link;")), a, b]), [""; 0]);
    let c = ("c", "use super::Link;");
    let both = [("mod", "pub use b::B; pub use c::C; mod b; mod c; struct Link(B, C);"), b, c];
    assert_eq!(found(&both).len(), 1);
}

fn knots(map: &Map) -> Vec<String> {
    let knots = map.knots().into_iter().filter(|knot| knot.len() > PAIR);
    let told = |knot: Vec<String>| {
        format!("{}:1: {} files import each other: {}", knot[0], knot.len(), knot.join(", "))
    };
    knots.map(told).collect()
}
