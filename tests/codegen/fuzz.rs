//! Texts and descriptors that nobody would write: no panic, no hang, and nothing is written that does not parse.
//!
//! A second by default, `FUZZ_SECONDS` for longer; `FUZZ_SEED` to see a run again. `FUZZ_CORPUS` is a folder of `.proto`
//! files to be mutated, too; those of `tests/protos` always are. `FUZZ_KEEP` is a folder for what was written of texts,
//! each beside its `.proto`, for a compiler.

#![allow(clippy::disallowed_methods, reason = "tests have a clock of their own")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grpc_threads::build::Builder;
use prost::Message;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

use crate::inputs::descriptors;
use crate::support::Folder;

/// Of each kind something; what is mutated.
const SEEDS: [&str; 5] = [
    "syntax = \"proto3\"; package p.q; import \"google/protobuf/any.proto\"; message M { int32 a = 1; repeated string b = 2; map<string, M> c = 3; oneof o { bytes d = 4; google.protobuf.Any e = 5; } optional E f = 6; reserved 10 to 20, 30; enum E { Z = 0; } } service S { rpc X(M) returns (stream M) { option deprecated = true; } }",
    "import \"google/protobuf/descriptor.proto\"; message R { optional group G = 1 { required int32 n = 1; } extensions 5 to max; } extend google.protobuf.MessageOptions { optional R r = 50000; } extend R { repeated int32 x = 7 [packed = true]; } message M { option (r) = { G { n: 1 } [x]: [1, -2] }; option (r).(x) = 3; optional float f = 1 [default = -inf]; }",
    "edition = \"2023\"; option features.field_presence = IMPLICIT; message M { M m = 1 [features.message_encoding = DELIMITED]; E e = 2; repeated sint64 p = 3 [features.repeated_field_encoding = EXPANDED]; } enum E { option features.enum_type = OPEN; Z = 0; ONE = 1; reserved 5 to max; reserved two; }",
    "edition = \"2024\"; package x; import option \"google/protobuf/cpp_features.proto\"; export message M { local enum E { A = 0; } E e = 1; string s = 2 [default = \"\\x41\\u1234\\n\"]; }",
    "// a\n//\n//     code(;\n/* b\n * ```\n */ message Foo { /// c\n optional int32 a = 1; // d\n // > *     e\n optional bool fooBar = 2 [json_name = \"z\", deprecated = true]; }",
];

const WORDS: [&str; 40] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ";",
    "=",
    ",",
    ".",
    "-",
    "\"",
    "/*",
    "*/",
    "//",
    "\n",
    "\r",
    "\t",
    "message",
    "enum",
    "oneof",
    "map<",
    "group",
    "extend",
    "option",
    "reserved",
    "max",
    "stream",
    "_",
    "0",
    "-1",
    "18446744073709551616",
    "1e999",
    "inf",
    "\u{202e}",
    "features.",
    "a.b.c",
    "\0",
];

/// As good as random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs each for its part of the time; what takes long is a hang.
fn fuzz(name: &str, mut once: impl FnMut(&mut Dice)) {
    let seed = number("FUZZ_SEED", u64::from(std::process::id()) + 1);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", 1));
    let mut runs = 0_u64;
    while Instant::now() < end {
        let before = (dice.0, busy());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| once(&mut dice)));
        assert!(result.is_ok(), "{name}: FUZZ_SEED={seed}, run {runs}, state {}", before.0);
        assert!(
            busy().saturating_sub(before.1) < LONG,
            "{name}: FUZZ_SEED={seed}, run {runs} takes long, state {}",
            before.0
        );
        runs += 1;
    }
    println!("{name}: {runs} runs, seed {seed}");
}

/// How long this thread has had a processor; others may have had it otherwise. Where that is not known, nothing takes long.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

const LONG: Duration = Duration::from_secs(20);

/// Real files, by the folder that is their include path.
fn corpus() -> Vec<(PathBuf, String)> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protos/proto");
    let mut files = Vec::new();
    for root in [Some(own), std::env::var_os("FUZZ_CORPUS").map(PathBuf::from)].iter().flatten() {
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "proto") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    files.push((root.clone(), name));
                }
            }
        }
    }
    files.sort();
    files
}

fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut text = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..1 + dice.roll(4) {
        let at = dice.roll(text.len() + 1);
        let end = (at + dice.roll(12)).min(text.len());
        match dice.roll(6) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..end, WORDS[dice.roll(WORDS.len())].bytes())),
            2 => drop(text.splice(at..at, WORDS[dice.roll(WORDS.len())].bytes())),
            3 => {
                let piece = text[at..(at + dice.roll(60)).min(text.len())].to_vec();
                let to = dice.roll(text.len() + 1);
                drop(text.splice(to..to, piece));
            }
            4 => {
                // A whole word by another one of the text.
                let words: Vec<String> =
                    String::from_utf8_lossy(&text).split(' ').map(str::to_owned).collect();
                let mut words = words;
                let (a, b) = (dice.roll(words.len()), dice.roll(words.len()));
                words[a] = words[b].clone();
                text = words.join(" ").into_bytes();
            }
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte = dice.roll(256) as u8;
                }
            }
        }
    }
    text
}

/// Braces and quotes of Rust that fit: what is written can at least be read.
fn is_whole(text: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut depth = 0_i64;
    for line in code {
        let mut in_text = false;
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '"' => in_text = !in_text,
                '{' if !in_text => depth += 1,
                '}' if !in_text => depth -= 1,
                _ => {}
            }
        }
    }
    depth == 0 && !text.contains("pub mod  {") && !text.contains("pub : ")
}

#[test]
fn texts() {
    let folder = Folder::new("fuzz_texts");
    let (mut seeds, mut includes) = (Vec::new(), vec![folder.0.clone()]);
    for (root, name) in corpus() {
        seeds.push(std::fs::read(root.join(name)).unwrap());
        if !includes.contains(&root) {
            includes.push(root);
        }
    }
    // As often as all others.
    for _ in 0..1 + seeds.len() / SEEDS.len() {
        seeds.extend(SEEDS.iter().map(|text| text.as_bytes().to_vec()));
    }
    let keep = std::env::var_os("FUZZ_KEEP").map(PathBuf::from);
    let mut kept = 0;
    fuzz("texts", |dice| {
        let text = mutated(&seeds, dice);
        std::fs::write(folder.path("a.proto"), &text).unwrap();
        let builder = Builder::new().embed_descriptors(false);
        match builder.generate(&[folder.path("a.proto")], &includes) {
            Ok(files) => {
                assert!(files.iter().all(|file| is_whole(&file.text)), "{files:?}");
                if let (Some(keep), [file]) = (&keep, &files[..]) {
                    std::fs::write(keep.join(format!("{kept}.rs")), &file.text).unwrap();
                    std::fs::write(keep.join(format!("{kept}.proto")), &text).unwrap();
                    kept += 1;
                }
            }
            Err(error) => assert!(error.to_string().contains("a.proto"), "{error}"),
        }
    });
}

#[test]
fn descriptor_sets() {
    let folder = Folder::new("fuzz_sets");
    let sets = SEEDS.iter().map(|text| {
        std::fs::write(folder.path("a.proto"), text).unwrap();
        descriptors(&folder, &["a.proto"]).unwrap()
    });
    let mut sets: Vec<Vec<u8>> = sets.collect();
    for (root, name) in corpus() {
        let set = folder.path("set");
        let builder = Builder::new().descriptors_only().file_descriptor_set(&set);
        if builder.compile_protos(&[root.join(&name)], &[&root]).is_ok() {
            sets.push(std::fs::read(set).unwrap());
        }
    }
    let program = env!("CARGO_BIN_EXE_grpc-threads-gen");
    fuzz("descriptor sets", |dice| {
        let set = &sets[dice.roll(sets.len())];
        let mut set = prost_types::FileDescriptorSet::decode(&set[..]).unwrap().file;
        // The last is the one whose octets are turned; all others are as they are.
        let last = set.pop().unwrap();
        let (name, mut last) = (last.name().to_owned(), last.encode_to_vec());
        for _ in 0..1 + dice.roll(3) {
            let at = dice.roll(last.len());
            match dice.roll(4) {
                0 => last[at] = dice.roll(256) as u8,
                1 => drop(last.remove(at)),
                2 => last.insert(at, dice.roll(256) as u8),
                _ => last[at] ^= 1 << dice.roll(8),
            }
        }
        let request = CodeGeneratorRequest {
            proto_file: set,
            file_to_generate: vec![name],
            // Its lines are no code, so the braces in them are none.
            parameter: Some("no_embedded_descriptors".to_owned()),
            ..Default::default()
        };
        let mut octets = request.encode_to_vec();
        prost::encoding::encode_key(15, prost::encoding::WireType::LengthDelimited, &mut octets);
        prost::encoding::encode_varint(last.len() as u64, &mut octets);
        octets.extend_from_slice(&last);
        let output = crate::plugin::run_at(program, &octets);
        assert!(output.status.success(), "{output:?}");
        let response = CodeGeneratorResponse::decode(&output.stdout[..]).unwrap();
        for file in response.file {
            assert!(is_whole(file.content()), "{}", file.content());
        }
    });
}
