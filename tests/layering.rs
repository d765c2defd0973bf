//! The house's own rules, read out of the source text: who may import whom, how long a file may be, and where time
//! and threads come from. The ranks are those of ARCHITECTURE.md. Each finding is told as `file:line: what is wrong`.
//!
//! The text is read as tokens, so comments, doc links and strings do not count; test code does, for the imports.

#[path = "layering/knots.rs"]
mod knots;
#[path = "layering/map.rs"]
mod map;
#[path = "layering/rooms.rs"]
mod rooms;
#[path = "layering/source.rs"]
mod source;

use source::{File, Token};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// A module imports lower ranks, or its own directory.
const RANKS: [&[&str]; 8] = [
    &[
        "status",
        "error",
        "bounds",
        "metadata",
        "deadline",
        "codec",
        "compression",
        "copy",
        "payload",
        "credentials",
        "sync",
        "tell",
        "tally",
        "message",
    ],
    &["http2"],
    &["wire"],
    &["net", "reactor"],
    &["link"],
    &["call"],
    &["channel", "client", "server", "events"],
    &[
        "health",
        "reflection",
        "channelz",
        "rpc_status",
        "signals",
        "stats",
        "testing",
        "_bench",
        "model",
    ],
];

/// The generator, apart from all that: it knows none of those modules, and none of them knows it.
const GENERATOR: [&str; 2] = ["codegen", "build"];

/// What may be imported beside it, within one rank: `(who, whom)`. Rank 0 is one vocabulary and may mix freely.
const BESIDE: [(&str, &str); 3] = [
    ("net", "reactor"), // a pipe is attached to the poller; the reactor knows no pipe
    ("client", "channel"), // a call is made on a channel; the channel knows no stubs
    ("channelz", "stats"), // what is counted, as every user sees it
];

/// Lines of a file that are not tests. 400 is where one begins to think of cutting.
const LONGEST_FILE: usize = 700;

/// Paths that only `reactor/` may name in code that is not a test, by their last two segments.
const ONLY_IN_REACTOR: [([&str; 2], &str); 6] = [
    (["Instant", "now"], "time is an argument; reactor::clock is the one clock"),
    (["SystemTime", "now"], "time is an argument; reactor::clock is the one clock"),
    (["thread", "spawn"], "threads are born in reactor/, named and counted"),
    (["thread", "Builder"], "threads are born in reactor/, named and counted"),
    (["thread", "scope"], "threads are born in reactor/, named and counted"),
    (["thread", "sleep"], "a wait has an end other than the clock"),
];

#[test]
fn modules_import_lower_ranks_only() {
    let files = source::read("src");
    let root = RootNames::of(&files);
    report(files.iter().flat_map(|file| imports(file, &root)).collect());
}

#[test]
fn every_module_has_a_rank() {
    let mut found = Vec::new();
    for file in &source::read("src") {
        let known = matches!(file.top(), "lib" | "bin") || GENERATOR.contains(&file.top());
        if !known && rank(file.top()).is_none() {
            found.push(format!("{}:1: `{}` has no rank in tests/layering", file.path, file.top()));
        }
    }
    report(found);
}

/// What stands beside the call proves that the public API suffices: of the inside it has the house's own tools alone.
#[test]
fn what_stands_beside_the_call_is_written_against_the_public_api() {
    let files = source::read("src");
    let root = RootNames::of(&files);
    report(files.iter().flat_map(|file| insides(file, &root)).collect());
    let root = RootNames(HashMap::from([("Status".to_owned(), "status".to_owned())]));
    let count = |path: &str, text: &str| insides(&File::new(path.into(), text.into()), &root).len();
    let text =
        "use crate::{Status, link, sync::Mutex}; use super::check; fn f() { crate::call::g() }";
    assert_eq!(count("src/health/a.rs", text), 2);
    assert_eq!(count("src/server/a.rs", text), 0);
}

/// Where such a module names what no user can, but for locks, threads, lines of the log and messages.
fn insides(file: &File, root: &RootNames) -> Vec<String> {
    let tools = ["sync", "reactor", "tell", "message"];
    if !["health", "reflection", "rpc_status", "channelz"].contains(&file.top()) || file.in_tests {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (path, line) in file.paths_from_root() {
        let Some(first) = path.first() else { continue };
        let own = first == file.top() || first == "stats" || root.0.contains_key(first);
        if !own && !tools.contains(&first.as_str()) {
            found.push(format!(
                "{}:{line}: `{}` is no part of the public API",
                file.path,
                path.join("::")
            ));
        }
    }
    found
}

#[test]
fn files_stay_short() {
    let mut found = Vec::new();
    for file in &source::read("src") {
        let lines = file.lines_without_tests();
        if lines > LONGEST_FILE {
            found.push(format!(
                "{}:1: {lines} lines without tests, {LONGEST_FILE} at most",
                file.path
            ));
        }
    }
    report(found);
}

#[test]
fn every_file_says_what_it_owns() {
    let mut found = Vec::new();
    for file in &source::read("src") {
        if !file.in_tests && !file.text.trim_start().starts_with("//!") {
            found.push(format!("{}:1: the file does not open with its `//!` docs", file.path));
        }
    }
    report(found);
}

#[test]
fn time_and_threads_come_from_the_reactor() {
    let files = source::read("src");
    report(
        files.iter().filter(|file| file.top() != "reactor").flat_map(time_and_threads).collect(),
    );
}

/// A logger is the user's, and may panic: there is one place where it does no harm, and one where panics end.
#[test]
fn lines_of_the_log_and_panics_end_in_one_place() {
    let files = source::read("src");
    let ours = |file: &&File| !matches!(file.top(), "tell" | "model");
    report(files.iter().filter(ours).flat_map(lines_and_panics).collect());
}

/// A time of the user's, however long, added to now: `+` would panic, on a thread that serves everybody.
#[test]
fn time_of_a_users_is_added_by_checked_add() {
    let files = source::read("src");
    let runtime = files.iter().filter(|file| !GENERATOR.contains(&file.top()));
    report(runtime.flat_map(unchecked_time).collect());
}

/// What a thread has of its own may be gone when it is reached: `crate::sync` has the one way to it.
#[test]
fn threads_own_values_are_declared_in_one_way() {
    let files = source::read("src");
    report(files.iter().filter(|file| file.top() != "sync").flat_map(thread_locals).collect());
}

/// What threads meet at is the model checker's under the checker: so there is one place that names it. The generator, which
/// is without the runtime, has no part in that.
#[test]
fn what_threads_meet_at_comes_from_sync() {
    let files = source::read("src");
    let ours =
        |file: &&File| !matches!(file.top(), "sync" | "model") && !GENERATOR.contains(&file.top());
    report(files.iter().filter(ours).flat_map(primitives).collect());
}

#[test]
fn nothing_unfinished_or_unsafe_is_in_the_source() {
    let mut found = Vec::new();
    for file in &source::read("src") {
        for pair in file.tokens.windows(2) {
            let Token { text, line, .. } = &pair[0];
            let called = pair[1].text == "!";
            if (called && matches!(*text, "todo" | "unimplemented" | "dbg")) || *text == "unsafe" {
                found.push(format!("{}:{line}: `{text}`", file.path));
            }
        }
    }
    report(found);
}

/// The oldest compiler we promise is older than `if let … && …` (1.88), and newer ones do not say so.
#[test]
fn no_let_chains() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "examples", "benches"] {
        found.extend(source::read(folder).iter().flat_map(let_chains));
    }
    report(found);
}

/// Likewise: before 1.89 what `format_args!` borrows is gone at the end of the statement.
#[test]
fn no_format_args_is_kept() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "examples", "benches"] {
        found.extend(source::read(folder).iter().flat_map(kept_format_args));
    }
    report(found);
    let count =
        |text: &str| kept_format_args(&File::new("src/link/a.rs".into(), text.into())).len();
    assert_eq!(count("fn f() { let what = format_args!(\"{}\", x()); g(what) }"), 1);
    assert_eq!(count("fn f() { g(format_args!(\"{}\", x())); let a = 1; }"), 0);
}

#[test]
fn unchecked_time_is_found() {
    let count = |text: &str| unchecked_time(&File::new("src/link/a.rs".into(), text.into())).len();
    assert_eq!(count("fn f() { let a = now + self.options.timeout; let b = at + 1; x() }"), 1);
    assert_eq!(
        count("fn f() { let a = clock::now() + *spin; let b = clock::now() + REST; x() }"),
        1
    );
    assert_eq!(count("fn f() { pause.mul_f64(0.8); until += grace; let a = 1; }"), 2);
}

#[test]
fn the_checks_find_what_they_are_for() {
    let root = RootNames(HashMap::from([("Status".to_owned(), "status".to_owned())]));
    let lines = |path: &str, text: &str| -> Vec<String> {
        let file = File::new(path.to_owned(), text.to_owned());
        imports(&file, &root)
            .into_iter()
            .map(|found| found.splitn(3, ':').take(2).collect::<Vec<_>>().join(":"))
            .collect()
    };

    assert_eq!(
        lines("src/wire/a.rs", "use crate::http2::x;\nuse crate::{status, call::y};"),
        ["src/wire/a.rs:2"]
    );
    assert_eq!(lines("src/wire/a.rs", "fn f() { crate::link::g() }"), ["src/wire/a.rs:1"]);
    assert_eq!(
        lines("src/http2/a.rs", "#[cfg(test)]\nmod tests {\n use crate::{\n  wire,\n };\n}"),
        ["src/http2/a.rs:4"]
    );
    assert_eq!(lines("src/net/a.rs", "use crate::reactor::Poller; use crate::Status;"), [""; 0]);
    assert_eq!(lines("src/reactor/a.rs", "use crate::net::Pipe;"), ["src/reactor/a.rs:1"]);
    assert_eq!(lines("src/server/a.rs", "use crate::client::A;"), ["src/server/a.rs:1"]);
    assert_eq!(lines("src/status.rs", "use super::link::A;"), ["src/status.rs:1"]);
    assert_eq!(lines("src/http2/mod.rs", "use super::wire::A;"), ["src/http2/mod.rs:1"]);
    assert_eq!(
        lines(
            "src/http2/frame/a.rs",
            "use super::super::hpack; mod t { use super::super::super::flow; }"
        ),
        [""; 0]
    );
    assert_eq!(
        lines("src/http2/frame/a.rs", "use super::super::super::wire;"),
        ["src/http2/frame/a.rs:1"]
    );
    assert_eq!(
        lines(
            "src/wire/a.rs",
            "// crate::link\n/* crate::link */ \"crate::link\"; pub(crate) fn f() {}"
        ),
        [""; 0]
    );
    assert_eq!(lines("src/wire/a.rs", "use crate::Unknown;"), ["src/wire/a.rs:1"]);
    assert_eq!(lines("src/build/a.rs", "use crate::codegen::a;"), [""; 0]);
    assert_eq!(lines("src/build/a.rs", "use crate::Status;"), ["src/build/a.rs:1"]);
    assert_eq!(lines("src/codegen/a.rs", "use crate::build::a;"), ["src/codegen/a.rs:1"]);
    assert_eq!(lines("src/server/a.rs", "use crate::codegen::a;"), ["src/server/a.rs:1"]);

    let clock = |text: &str| {
        time_and_threads(&File::new("src/link/a.rs".to_owned(), text.to_owned())).len()
    };
    assert_eq!(clock("fn f() { std::time::Instant::now(); }"), 1);
    assert_eq!(clock("use std::thread;\nfn f() { thread::spawn(g); }"), 1);
    assert_eq!(clock("#[cfg(test)]\nmod tests { fn f() { std::thread::spawn(g); } }"), 0);

    let own =
        |text: &str| thread_locals(&File::new("src/link/a.rs".to_owned(), text.to_owned())).len();
    assert_eq!(own("thread_local! { static A: u8 = const { 0 }; }"), 1);
    assert_eq!(own("#[cfg(test)]\nmod tests { thread_local! { static A: u8 = 0; } }"), 0);

    let named = |text: &str| {
        let file = File::new("src/link/a.rs".to_owned(), text.to_owned());
        primitives(&file).len()
    };
    assert_eq!(named("use std::sync::{Arc, Mutex, atomic::AtomicBool};"), 2);
    assert_eq!(named("fn f() { std::thread::yield_now(); parking_lot::Mutex::new(()); }"), 2);
    assert_eq!(named("use std::io; use crate::sync::Mutex; use std::sync::{Arc, OnceLock};"), 0);
    assert_eq!(named("#[cfg(all(test, shuttle))]\nmod m { use std::sync::Mutex; }"), 0);

    let chain = |text: &str| let_chains(&File::new("src/a.rs".to_owned(), text.to_owned())).len();
    assert_eq!(chain("fn f() { if a && let Some(b) = c {} while let Some(d) = e && f {} }"), 2);
    assert_eq!(
        chain("fn f() { if let &&Some(a) = b {} if let Some(a) = f(b && c) {} if a && b {} }"),
        0
    );

    let tells = |text: &str| {
        lines_and_panics(&File::new("src/reactor/a.rs".to_owned(), text.to_owned())).len()
    };
    assert_eq!(
        tells("use log::{debug, warn}; fn f() { log::error!(\"{a}\"); ::log::info!(b) }"),
        3
    );
    assert_eq!(tells("fn f() { if log::log_enabled!(Level::Debug) { tell::debug!(a) } }"), 1);
    assert_eq!(tells("use std::panic::{AssertUnwindSafe, catch_unwind};"), 1);
    assert_eq!(tells("fn f() { tell::error!(a); self.log::<T>(log) } // log::error!"), 0);
    assert_eq!(tells("#[cfg(test)]\nmod tests { use log::Log; fn f() { catch_unwind(g) } }"), 0);

    let long = File::new(
        "src/a.rs".to_owned(),
        "//!\nfn f() {}\n#[cfg(test)]\nmod tests {\n fn g() {}\n}\n".to_owned(),
    );
    assert_eq!(long.lines_without_tests(), 2);
}

/// What stands at the crate's root: `pub use status::{Code, Status}` makes `crate::Status` a name of `status`.
struct RootNames(HashMap<String, String>);

impl RootNames {
    fn of(files: &[File]) -> Self {
        let mut names = HashMap::new();
        for file in files.iter().filter(|file| file.path == "src/lib.rs") {
            for (path, _) in file.paths_after("use") {
                if let [module, .., name] = &path[..] {
                    names.insert(name.clone(), module.clone());
                }
            }
        }
        Self(names)
    }

    /// The module that a path from the root leads into.
    fn module<'a>(&'a self, first: &'a str) -> Option<&'a str> {
        let known = rank(first).is_some() || GENERATOR.contains(&first);
        if known { Some(first) } else { self.0.get(first).map(String::as_str) }
    }
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|names| names.contains(&module))
}

fn may_import(who: &str, whom: &str) -> bool {
    match (rank(who), rank(whom)) {
        _ if who == whom || who == "lib" => true,
        _ if who == "build" => whom == "codegen",
        (Some(0), Some(0)) => true,
        (Some(a), Some(b)) if a == b => BESIDE.contains(&(who, whom)),
        (Some(a), Some(b)) => a > b,
        _ => false,
    }
}

/// Every path of `file` from the crate's root, by `crate::` or by as many `super::` as lead there, that it may not name.
fn imports(file: &File, root: &RootNames) -> Vec<String> {
    let mut found = Vec::new();
    for (path, line) in file.paths_from_root() {
        let Some(first) = path.first().filter(|first| *first != "*" && *first != "self") else {
            if file.top() != "lib" {
                found.push(format!("{}:{line}: the whole root is imported", file.path));
            }
            continue;
        };
        match root.module(first) {
            Some(module) if may_import(file.top(), module) => {}
            Some(module) => found.push(format!(
                "{}:{line}: `{}` ({}) imports `{}` ({})",
                file.path,
                file.top(),
                rank_name(file.top()),
                path.join("::"),
                rank_name(module),
            )),
            // Macros and types of the root's own file are nobody's rank.
            None if file.top() == "lib" => {}
            None => found
                .push(format!("{}:{line}: `crate::{first}` is of no module known here", file.path)),
        }
    }
    found
}

fn rank_name(module: &str) -> String {
    rank(module).map_or_else(|| "no rank".to_owned(), |rank| format!("rank {rank}"))
}

fn time_and_threads(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for window in file.tokens.windows(4) {
        let [a, colons, _, b] = window else { continue };
        if a.in_tests || file.in_tests || colons.text != ":" {
            continue;
        }
        for (path, reason) in &ONLY_IN_REACTOR {
            if [a.text, b.text] == *path {
                found.push(format!(
                    "{}:{}: `{}` outside reactor/: {reason}",
                    file.path,
                    a.line,
                    path.join("::")
                ));
            }
        }
    }
    found
}

/// Where an instant and something else than a constant are added by `+`, or a time is scaled by a float.
fn unchecked_time(file: &File) -> Vec<String> {
    let code: Vec<_> = file.tokens.iter().filter(|token| !token.in_tests).collect();
    let code = if file.in_tests { Vec::new() } else { code };
    let scaled = code.iter().filter(|token| FLOATING_TIME.contains(&token.text));
    let mut found: Vec<_> = scaled
        .map(|Token { text, line, .. }| format!("{}:{line}: `{text}` can panic", file.path))
        .collect();
    for window in code.windows(6) {
        let texts: Vec<_> = window.iter().map(|token| token.text).collect();
        let rest = match texts[..] {
            ["now", "(", ")", ref rest @ ..] => rest,
            [name, ref rest @ ..] if INSTANTS.contains(&name) => rest,
            _ => continue,
        };
        let added = match rest {
            ["+", "=", added, ..] | ["+", added, ..] => added,
            _ => continue,
        };
        // Numbers are no tokens: what follows one is a sign.
        if matches!(*added, "*" | "(" | "&") || added.contains(|c: char| c.is_ascii_lowercase()) {
            let told = "`+` on an instant takes constants only; others by `checked_add`";
            found.push(format!("{}:{}: {told}", file.path, window[0].line));
        }
    }
    found
}

/// What instants are called.
const INSTANTS: [&str; 7] = ["now", "at", "since", "until", "origin", "started", "deadline"];
const FLOATING_TIME: [&str; 4] = ["mul_f64", "mul_f32", "from_secs_f64", "from_secs_f32"];

/// Locks, condition variables, atomics and threads by a name of their own.
fn primitives(file: &File) -> Vec<String> {
    let locks = ["Mutex", "MutexGuard", "Condvar", "RwLock", "Barrier", "mpsc", "atomic"];
    let named = |path: &[String]| match path {
        [_, sync, what, ..] if sync == "sync" => locks.contains(&what.as_str()),
        [_, thread, what, ..] if thread == "thread" => what != "panicking",
        [first, _, ..] => first != "std",
        _ => false,
    };
    let all = ["std", "parking_lot", "shuttle"].into_iter();
    let found = all.flat_map(|first| file.paths_from(first)).filter(|(path, _)| named(path));
    let told = "take it from `crate::sync`";
    found
        .map(|(path, line)| format!("{}:{line}: `{}`: {told}", file.path, path.join("::")))
        .collect()
}

fn thread_locals(file: &File) -> Vec<String> {
    let ours = |token: &&Token| !(token.in_tests || file.in_tests) && token.text == "thread_local";
    let told = "`thread_local`: use `crate::sync::thread_own`";
    let found = file.tokens.iter().filter(ours);
    found.map(|token| format!("{}:{}: {told}", file.path, token.line)).collect()
}

/// Where the crate `log` or `catch_unwind` is named.
fn lines_and_panics(file: &File) -> Vec<String> {
    let code: Vec<_> = file.tokens.iter().filter(|token| !token.in_tests).collect();
    let code = if file.in_tests { Vec::new() } else { code };
    let text = |at: usize| code.get(at).map_or("", |token| token.text);
    let mut found = Vec::new();
    for (at, Token { line, .. }) in code.iter().enumerate() {
        let within = at > 2 && text(at - 1) == ":" && is_name(text(at - 3));
        let told = match [text(at), text(at + 1), text(at + 2), text(at + 3)] {
            // The generator has no part of the runtime, and a dependency that gives up by panic.
            ["catch_unwind", ..] if file.path != "src/build/generate.rs" => {
                "`catch_unwind`: the user's code runs through reactor::user, and panics end in tell::contain"
            }
            ["log", ":", ":", next] if !within && (next == "{" || is_name(next)) => {
                "`log::`: lines are told by `crate::tell`, where a logger may panic"
            }
            _ => continue,
        };
        found.push(format!("{}:{line}: {told}", file.path));
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn report(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Every `.rs` file below `folder`, as paths from the crate's own folder.
fn rust_files(folder: &Path, into: &mut Vec<String>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path);
            into.push(path.to_str().unwrap().replace('\\', "/"));
        }
    }
}

/// Where an `&&` stands beside a `let` in the head of an `if` or `while`.
fn let_chains(file: &File) -> Vec<String> {
    let texts: Vec<_> = file.tokens.iter().map(|token| token.text).collect();
    let starts = (0..texts.len()).filter(|at| matches!(texts[*at], "if" | "while"));
    let chained = starts.filter(|at| is_chain(&texts[at + 1..]));
    let told = "a let-chain, which Rust 1.85 does not take";
    chained.map(|at| format!("{}:{}: {told}", file.path, file.tokens[at].line)).collect()
}

fn kept_format_args(file: &File) -> Vec<String> {
    let kept = file.tokens.windows(3).filter(|next| {
        let [bound, called, bang] = next else { return false };
        (bound.text, called.text, bang.text) == ("=", "format_args", "!")
    });
    let told = "what `format_args!` gives is kept, which Rust 1.85 does not take";
    kept.map(|next| format!("{}:{}: {told}", file.path, next[1].line)).collect()
}

fn is_chain(head: &[&str]) -> bool {
    // Past the `=` of a `let`: before it an `&&` belongs to a pattern.
    let (mut depth, mut bound) = (0, false);
    for next in head.windows(3) {
        match next {
            ["(" | "[", ..] => depth += 1,
            [")" | "]", ..] => depth -= 1,
            _ if depth > 0 => {}
            ["{" | ";", ..] | ["=", ">", _] => return false,
            ["&", "&", "let"] => return true,
            ["&", "&", _] if bound => return true,
            ["=", ..] => bound = head[0] == "let",
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    false
}
