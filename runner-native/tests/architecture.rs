//! What holds of the modules of this program: none leads back to itself, over however many others.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Graph = BTreeMap<String, BTreeSet<String>>;

/// The modules below a directory, by their paths from the crate, with their code but for tests and comments.
fn modules(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            modules(&entry.path(), &format!("{prefix}{name}::"), found);
            continue;
        }
        let Some(name) = name.strip_suffix(".rs") else { continue };
        let module = if name == "mod" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{name}") };
        found.insert(module, code(&fs::read_to_string(entry.path()).unwrap()));
    }
}

fn code(text: &str) -> String {
    let tested = text.split("#[cfg(test)]\nmod ").next().unwrap();
    tested.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The paths behind each `crate::` of a text, those in braces one by one.
fn paths(text: &str) -> Vec<String> {
    text.split("crate::").skip(1).flat_map(|rest| one(rest).0).collect()
}

/// The paths at the beginning of a text, and what follows them.
fn one(text: &str) -> (Vec<String>, &str) {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && !"_:".contains(letter)).unwrap_or(text.len());
    let (head, mut rest) = text.split_at(end);
    let Some(inner) = rest.strip_prefix('{') else { return (vec![head.trim_end_matches(':').to_owned()], rest) };
    let mut found = Vec::new();
    rest = inner.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        let (paths, after) = one(rest);
        found.extend(paths.into_iter().map(|path| format!("{head}{path}")));
        // What is called otherwise (`as`) is of the same module.
        rest = after.trim_start_matches(|letter: char| letter != ',' && letter != '}');
        rest = rest.trim_start_matches(',').trim_start();
    }
    (found, rest.strip_prefix('}').unwrap_or(rest))
}

/// Which module uses which others.
fn uses(modules: &BTreeMap<String, String>) -> Graph {
    let module_of = |path: &str| {
        let mut path = path;
        while !modules.contains_key(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    };
    let used = |name: &String, text: &str| paths(text).iter().filter_map(|path| module_of(path)).filter(|to| to != name).collect();
    modules.iter().filter(|(name, _)| *name != "lib" && *name != "main").map(|(name, text)| (name.clone(), used(name, text))).collect()
}

/// What reaches itself.
fn in_circles(graph: &Graph) -> Vec<&String> {
    let reaches_itself = |start: &&String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(node) = open.pop() {
            for next in graph.get(node).into_iter().flatten() {
                if next == *start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    };
    graph.keys().filter(reaches_itself).collect()
}

fn this_program() -> Graph {
    let mut found = BTreeMap::new();
    modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    uses(&found)
}

#[test]
fn no_module_uses_itself_over_others() {
    let graph = this_program();
    assert!(graph.len() > 100 && graph["verbs::run"].contains("container::plan"), "{graph:?}");
    assert_eq!(in_circles(&graph), Vec::<&String>::new());
}

#[test]
fn no_folder_uses_itself_over_others() {
    let folder = |module: &str| module.split("::").next().unwrap().to_owned();
    let mut folders = Graph::new();
    for (from, to) in this_program().iter().flat_map(|(from, used)| used.iter().map(move |to| (folder(from), folder(to)))) {
        if from != to {
            folders.entry(from).or_default().insert(to);
        }
    }
    assert!(folders.len() > 10);
    assert_eq!(in_circles(&folders), Vec::<&String>::new());
}

#[test]
fn circles_and_uses_are_seen() {
    let planted = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), code(text))).collect();
        in_circles(&uses(&files)).into_iter().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(planted(&[("a", "use crate::b::c;"), ("b", "fn x() { crate::a::y() }")]), "a b");
    assert_eq!(planted(&[("a", "use crate::{b::{self, C as D}, e};"), ("b", ""), ("e", "use crate::a::F;")]), "a e");
    assert_eq!(planted(&[("a::b", "use crate::c::X;"), ("c", "use crate::a::b::{Y, Z};"), ("a", "")]), "a::b c");
    assert_eq!(planted(&[("a", "use crate::b::C;"), ("b", "// crate::a\n#[cfg(test)]\nmod tests { use crate::a::D; }")]), "");
}
