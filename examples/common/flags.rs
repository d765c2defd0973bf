//! The command line of the examples: `--name=value`, `--name value`, or `--name` for true. Words that follow belong
//! to the value, with a blank between them.

#![allow(dead_code, reason = "no example uses all of it")]

use std::fmt::Display;
use std::process::exit;
use std::str::FromStr;

/// What was given. Anything wrong ends the program with status 2 and a line that says what.
pub(crate) struct Flags {
    given: Vec<(String, String)>,
}

impl Flags {
    /// Reads the command line. `known` lists the names, each with its line in `--help`.
    pub(crate) fn parse(about: &str, known: &[(&str, &str)]) -> Flags {
        let mut given = Vec::new();
        let mut args = std::env::args().skip(1).peekable();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix("--") else {
                fail(format_args!("what is {arg:?}? See --help"));
            };
            let (name, mut value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    (flag, args.next_if(|next| !next.starts_with("--")).unwrap_or("true".into()))
                }
            };
            while let Some(more) = args.next_if(|next| !next.starts_with("--")) {
                value = format!("{value} {more}");
            }
            if name == "help" {
                println!("{about}\n");
                let width = known.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
                known.iter().for_each(|(name, help)| println!("  --{name:width$}  {help}"));
                exit(0);
            }
            if !known.iter().any(|(known, _)| *known == name) {
                fail(format_args!("there is no flag --{name}; see --help"));
            }
            given.push((name.to_owned(), value));
        }
        Flags { given }
    }

    /// The value given last.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| &value[..])
    }

    /// Whether the flag was given as `--name` or `--name=true`.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The value, or `default` where the flag was not given.
    pub(crate) fn value<T: FromStr>(&self, name: &str, default: T) -> T
    where
        T::Err: Display,
    {
        match self.get(name) {
            None => default,
            Some(text) => {
                text.parse().unwrap_or_else(|error| fail(format_args!("--{name}={text}: {error}")))
            }
        }
    }
}

/// Says what is wrong with the command line and ends the program.
pub(crate) fn fail(what: impl Display) -> ! {
    eprintln!("{what}");
    exit(2)
}
