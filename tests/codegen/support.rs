//! A folder for each test, and texts to compare with.

use std::fs;
use std::path::{Path, PathBuf};

use grpc_threads::build::{Builder, Error, Generated};

/// A folder of `.proto` files, emptied before each use.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// `test` is the name of the test, since all run at once.
    pub(crate) fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("codegen").join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        self.with_bytes(name, text.as_bytes())
    }

    pub(crate) fn with_bytes(self, name: &str, text: &[u8]) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn generate(
        &self,
        builder: Builder,
        names: &[&str],
    ) -> Result<Vec<Generated>, Error> {
        let protos: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        builder.generate(&protos, &[&self.0])
    }
}

/// The one file of one package.
pub(crate) fn only(files: Vec<Generated>) -> String {
    let [file] = <[Generated; 1]>::try_from(files).unwrap();
    file.text
}

pub(crate) fn text<'a>(files: &'a [Generated], name: &str) -> &'a str {
    &files.iter().find(|file| file.name == name).unwrap().text
}

/// Compares with a file of the repository, or writes it.
pub(crate) fn compare(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    if let Some((number, (a, b))) =
        there.lines().zip(text.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        let path = path.display();
        panic!("{path}:{}: {a:?}, the generator writes {b:?}; see BLESS", number + 1);
    }
    assert!(there == text, "{} has another length than what is generated", path.display());
}
