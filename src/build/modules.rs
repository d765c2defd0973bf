//! The file that includes all others.

use super::Generated;

/// `pub mod` in `pub mod`, as the packages are.
pub(super) fn include_file(files: &[Generated], in_out_dir: bool) -> String {
    let mut files: Vec<&Generated> = files.iter().collect();
    files.sort_by(|a, b| a.modules.cmp(&b.modules));
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let mut text = super::generate::head(&names);
    let mut open: Vec<&str> = Vec::new();
    for file in files {
        let modules: Vec<&str> = file.modules.iter().map(String::as_str).collect();
        while !modules.starts_with(&open) {
            open.pop();
            line(&mut text, open.len(), "}");
        }
        for module in modules.iter().skip(open.len()) {
            line(&mut text, open.len(), ALLOW);
            line(&mut text, open.len(), &format!("pub mod {module} {{"));
            open.push(module);
        }
        let include = if in_out_dir {
            format!("include!(concat!(env!(\"OUT_DIR\"), \"/{}\"));", file.name)
        } else {
            format!("include!(\"{}\");", file.name)
        };
        line(&mut text, open.len(), &include);
    }
    for depth in (0..open.len()).rev() {
        line(&mut text, depth, "}");
    }
    text
}

fn line(text: &mut String, depth: usize, line: &str) {
    text.extend(std::iter::repeat_n("    ", depth));
    text.push_str(line);
    text.push('\n');
}

const ALLOW: &str = "#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]";
