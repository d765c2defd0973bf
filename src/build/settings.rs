//! What `.proto` files say of services and methods in options of ours, `grpc_threads/options.proto`.
//!
//! The options are found by their names, so that a copy of the file may have other numbers.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message as _;

use super::Error;
use super::compiler::model::File;
use crate::codegen::MethodSettings;
use crate::codegen::descriptor::Fields;

/// By the full name of a service, or of a method.
#[derive(Debug, Default)]
pub(super) struct Settings {
    said: HashMap<String, Said>,
    numbers: Option<Numbers>,
}

/// `grpc_threads.Settings`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Said {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, optional, tag = "2")]
    max_request_size: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    max_response_size: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    timeout_ms: Option<u64>,
    #[prost(bool, optional, tag = "5")]
    wait_for_ready: Option<bool>,
    #[prost(string, optional, tag = "6")]
    compression: Option<String>,
    #[prost(bool, optional, tag = "7")]
    reserved: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    thread_pool: Option<bool>,
    #[prost(string, repeated, tag = "9")]
    pub(super) server_attribute: Vec<String>,
    #[prost(string, repeated, tag = "10")]
    pub(super) stub_attribute: Vec<String>,
}

/// Those of the extensions.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    service: u64,
    method: u64,
}

impl Settings {
    /// Reads a file, after those it imports.
    pub(super) fn read(&mut self, file: &File) -> Result<(), Error> {
        self.find(file);
        let Some(numbers) = self.numbers else { return Ok(()) };
        let join = |scope: &str, name: &str| match scope {
            "" => name.to_owned(),
            _ => format!("{scope}.{name}"),
        };
        for service in &file.service {
            let name = join(file.package(), service.name());
            self.put(file, &name, service.options.as_deref(), numbers.service)?;
            for method in &service.method {
                let name = join(&name, method.name());
                self.put(file, &name, method.options.as_deref(), numbers.method)?;
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, full_name: &str) -> Option<&Said> {
        self.said.get(full_name)
    }

    fn find(&mut self, file: &File) {
        if file.package() == PACKAGE {
            let number = |name: &str| {
                let field = file.extension.iter().find(|field| field.name() == name);
                field.and_then(|field| u64::try_from(field.number()).ok())
            };
            if let (Some(service), Some(method)) = (number("service"), number("method")) {
                self.numbers = Some(Numbers { service, method });
            }
        }
        // A plugin is not given what is imported for options only.
        let mut imports = file.option_dependency.iter();
        if self.numbers.is_none() && imports.any(|import| import == FILE) {
            self.numbers = Some(Numbers { service: NUMBER, method: NUMBER });
        }
    }

    fn put(
        &mut self,
        file: &File,
        name: &str,
        options: Option<&[u8]>,
        number: u64,
    ) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::new(format!("{}: {name}: {what}", file.name())));
        let mut said = None;
        for field in Fields(options.unwrap_or_default()).filter(|field| field.number == number) {
            let said = said.get_or_insert_with(Said::default);
            if let Err(error) = said.merge(field.payload) {
                return wrong(format!("its option of {PACKAGE} cannot be read: {error}"));
            }
        }
        let Some(said) = said else { return Ok(()) };
        let mut attributes = said.server_attribute.iter().chain(&said.stub_attribute);
        if let Some(text) = attributes.find(|text| !is_attribute(text)) {
            return wrong(format!("{text:?} is no attribute"));
        }
        self.said.insert(name.to_owned(), said);
        Ok(())
    }
}

impl Said {
    pub(super) fn settings(&self) -> MethodSettings {
        let mut out = MethodSettings::new();
        if let Some(bytes) = self.max_request_size {
            out = out.max_request_size(bytes);
        }
        if let Some(bytes) = self.max_response_size {
            out = out.max_response_size(bytes);
        }
        if let Some(millis) = self.timeout_ms {
            out = out.timeout(Duration::from_millis(millis));
        }
        if let Some(wait) = self.wait_for_ready {
            out = out.wait_for_ready(wait);
        }
        if let Some(name) = &self.compression {
            out = out.compression(name);
        }
        if let Some(yes) = self.reserved {
            out = out.reserved(yes);
        }
        if let Some(yes) = self.thread_pool {
            out = out.thread_pool(yes);
        }
        out
    }
}

/// `#[..]`, with brackets that fit: one that ends early would put what follows where code is.
fn is_attribute(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("#[").and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    let mut open = Vec::new();
    let mut chars = inner.chars();
    let mut in_text = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_text => drop(chars.next()),
            '"' => in_text = !in_text,
            _ if c.is_control() => return false,
            _ if in_text => {}
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return false,
            // Comments, characters and lifetimes: no attribute needs them.
            '/' | '\'' => return false,
            _ => {}
        }
    }
    open.is_empty() && !in_text && !inner.trim().is_empty()
}

/// What imports call the file.
pub(super) const FILE: &str = "grpc_threads/options.proto";
/// Its text.
pub(super) const TEXT: &str = include_str!("grpc_threads/options.proto");
/// Full names of what nobody needs in Rust.
pub(super) const TYPES: [&str; 1] = [".grpc_threads.Settings"];
const PACKAGE: &str = "grpc_threads";
const NUMBER: u64 = 56_717;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_whole() {
        for text in ["#[must_use]", "#[doc = \"a ] \\\" b\"]", "#[cfg(all(x, y))]", "#[a{[]}]"] {
            assert!(is_attribute(text), "{text}");
        }
        for text in [
            "",
            "#[]",
            "must_use",
            "#[a]\nfn x() {}",
            "#[a] fn x() { [0]",
            "#[a(]",
            "#[a\"]",
            "#[a // ]",
            "#[a)(]",
        ] {
            assert!(!is_attribute(text), "{text}");
        }
    }
}
