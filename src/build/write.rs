//! Files that are written: not touched if they would not change, and never half of what two runs made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Error;

/// What one run writes, or would.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Writes nothing: what is there has to be right.
    check: bool,
    /// Files that are not as they would be written.
    stale: Vec<PathBuf>,
    /// Files of other runs that were replaced.
    replaced: Vec<String>,
}

/// By path, what each file was made of, in this process.
static WRITTEN: Mutex<Option<HashMap<PathBuf, Vec<String>>>> = Mutex::new(None);

impl Writer {
    pub(super) fn new(check: bool) -> Self {
        Self { check, ..Self::default() }
    }

    /// `sources` is what the text is made of, in order; `exists` says which of others are still there to be compiled.
    pub(super) fn put(
        &mut self,
        path: &Path,
        content: &[u8],
        sources: &[String],
        exists: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        if !self.check {
            self.alone(path, sources)?;
        }
        let there = std::fs::read(path);
        if there.as_ref().is_ok_and(|there| there == content) {
            return Ok(());
        }
        if self.check {
            self.stale.push(path.to_owned());
            return Ok(());
        }
        let lost: Vec<String> = there.map(|there| origins(&there)).unwrap_or_default();
        let mut lost = lost.into_iter().filter(|name| !sources.contains(name) && exists(name));
        if let Some(lost) = lost.next() {
            self.replaced.push(format!(
                "{} had code of {lost}, which is not in this run: files of one package are to be compiled in one",
                path.display()
            ));
        }
        std::fs::write(path, content)
            .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))
    }

    /// Refuses a file that this process has written out of something else.
    fn alone(&self, path: &Path, sources: &[String]) -> Result<(), Error> {
        let key = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        let written = written.get_or_insert_default();
        match written.get(&key) {
            Some(before) if before.iter().any(|name| !sources.contains(name)) => {
                Err(Error::new(format!(
                    "{} was written by a run before this one, out of {}; this one would replace it by what is made of {}. \
                 Compile them together, or into two folders",
                    path.display(),
                    before.join(", "),
                    sources.join(", ")
                )))
            }
            _ => {
                written.insert(key, sources.to_vec());
                Ok(())
            }
        }
    }

    /// When all is written, or looked at.
    pub(super) fn finish(self) -> Result<Vec<String>, Error> {
        if self.stale.is_empty() {
            return Ok(self.replaced);
        }
        let names: Vec<String> =
            self.stale.iter().map(|path| format!("\n  {}", path.display())).collect();
        Err(Error::new(format!("not as the generator would write it now:{}", names.concat())))
    }
}

/// What a file's head says it was made of.
fn origins(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut names = Vec::new();
    for (at, line) in text.lines().skip(1).enumerate() {
        let start = if at == 0 { "// Of: " } else { "//     " };
        let Some(rest) = line.strip_prefix(start) else { break };
        names.extend(rest.split(' ').filter(|name| !name.is_empty()).map(str::to_owned));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::generate::head;

    #[test]
    fn a_head_says_what_a_file_was_made_of() {
        let sources: Vec<String> = (0..30).map(|at| format!("folder/{at}.proto")).collect();
        assert_eq!(origins(head(&sources).as_bytes()), sources);
        assert_eq!(origins(head(&[]).as_bytes()), [""; 0]);
        assert_eq!(origins(b"// something else\n\npub struct A;\n"), [""; 0]);
    }
}
