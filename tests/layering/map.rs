//! Which files import which, out of their text; and the circles among them.
//!
//! A name that a module passes on (`pub use`) counts as an import of the file that has it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::source::{File, Import};

/// Which files import which.
pub(crate) struct Map {
    pub(crate) files: BTreeSet<String>,
    /// Who, whom, and where.
    pub(crate) edges: BTreeMap<(String, String), usize>,
}

impl Map {
    /// With what their tests import.
    pub(crate) fn of(files: &[File]) -> Self {
        Self::by(files, |_, import| !import.passed_on)
    }

    /// Of the code alone. What a file passes on and names elsewhere it imports, too.
    pub(crate) fn without_tests(files: &[File]) -> Self {
        let names: HashMap<_, _> =
            files.iter().map(|file| (file.path.as_str(), file.names())).collect();
        let mut map = Self::by(files, |file, import| {
            let name = import.path.last().map_or("", String::as_str);
            !import.in_tests && (!import.passed_on || names[&*file.path].contains(name))
        });
        let tests: BTreeSet<_> =
            files.iter().filter(|file| file.in_tests).map(|file| &file.path).collect();
        map.files.retain(|file| !tests.contains(file));
        map.edges.retain(|(_, whom), _| !tests.contains(whom));
        map
    }

    fn by(files: &[File], counts: impl Fn(&File, &Import) -> bool) -> Self {
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
            for import in file.imports().iter().filter(|import| counts(file, import)) {
                let whom = file_of(&import.path, &modules, &passed_on, 0);
                if let Some(whom) = whom.filter(|whom| *whom != file.path) {
                    edges.entry((file.path.clone(), whom.to_owned())).or_insert(import.line);
                }
            }
        }
        Self { files: files.iter().map(|file| file.path.clone()).collect(), edges }
    }

    /// Files of which each leads to each other by imports: all of them, in order, once.
    pub(crate) fn knots(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> =
            self.files.iter().map(|file| (file, self.reached(file))).collect();
        let mut found: Vec<Vec<String>> = Vec::new();
        for file in &self.files {
            let both =
                |other: &&String| reached[file].contains(*other) && reached[*other].contains(file);
            let knot: Vec<_> = self.files.iter().filter(both).cloned().collect();
            if !knot.is_empty() && !found.contains(&knot) {
                found.push(knot);
            }
        }
        found
    }

    fn reached(&self, start: &str) -> BTreeSet<&String> {
        let (mut found, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            for (_, whom) in self.edges.keys().filter(|(who, _)| who == file) {
                if found.insert(whom) {
                    next.push(whom);
                }
            }
        }
        found
    }

    /// Each circle once, the shortest through its first file.
    pub(crate) fn circles(&self) -> Vec<String> {
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
