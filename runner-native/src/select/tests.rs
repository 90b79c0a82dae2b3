use super::*;
use crate::wire::place::Place;
use crate::wire::tree::IgnorePattern;
use crate::wire::tree::{Modes, Tree};
use std::fs;
use std::os::fd::{AsRawFd, IntoRawFd};

/// A context of empty files; names that end in `/` are directories, `a -> b` is a link.
fn context(entries: &[&str]) -> (tempfile::TempDir, Tree) {
    let directory = tempfile::tempdir().unwrap();
    for entry in entries {
        let path = |name: &str| directory.path().join(name);
        if let Some((link, target)) = entry.split_once(" -> ") {
            std::os::unix::fs::symlink(target, path(link)).unwrap();
        } else if entry.ends_with('/') {
            fs::create_dir_all(path(entry)).unwrap();
        } else {
            fs::create_dir_all(path(entry).parent().unwrap()).unwrap();
            fs::write(path(entry), "").unwrap();
        }
    }
    let file = fs::File::open(directory.path()).unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&file, 5).unwrap();
    assert!(high.as_raw_fd() >= 5);
    let root = Place { fd: high.into_raw_fd(), path: None };
    (directory, Tree::Directory { root })
}

#[allow(clippy::unnecessary_wraps)] // as the field has it
fn ignore(patterns: &[&str]) -> Option<Vec<IgnorePattern>> {
    let pattern = |(index, text): (usize, &&str)| IgnorePattern {
        pattern: text.trim_start_matches('!').to_owned(),
        negated: text.starts_with('!'),
        line: index as u32 + 1,
    };
    Some(patterns.iter().enumerate().map(pattern).collect())
}

fn selection(from: Tree, sources: &[&str]) -> Selection {
    let sources = sources.iter().map(|source| (*source).to_owned()).collect();
    Selection {
        from,
        ignore: None,
        sources,
        literal: false,
        exclude: None,
        parents: false,
        reset_owner: true,
        modes: Modes::Kept,
        unpack: false,
    }
}

/// Paths in the tree of all that is chosen.
fn paths(selection: &Selection) -> Vec<String> {
    let chosen = choose(selection).unwrap();
    chosen.matches.iter().flat_map(|found| found.nodes.iter()).map(|node| String::from_utf8_lossy(&node.path).into_owned()).collect()
}

#[test]
fn ignore_files_decide() {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["a", "b"], &["b"], &["", "a"]),
        (&["d/x", "d/keep/y", "e"], &["d", "!d/keep"], &["", "d", "d/keep", "d/keep/y", "e"]),
        (&["d/x", "d/keep/y"], &["*", "!d/keep/y"], &["", "d", "d/keep", "d/keep/y"]),
        (&["d/x", "e/"], &["**/x"], &["", "d", "e"]),
        (&["d/x", "e/f/x.o", "x.o"], &["**/*.o"], &["", "d", "d/x", "e", "e/f"]),
        (&["a"], &["*"], &[""]),
        (&["a"], &["**"], &[""]),
    ];
    for (entries, patterns, expected) in cases {
        let (_guard, tree) = context(entries);
        let asked = Selection { ignore: ignore(patterns), ..selection(tree, &["."]) };
        assert_eq!(paths(&asked), *expected, "{entries:?} without {patterns:?}");
    }
}

#[test]
fn an_ignored_directory_is_not_read() {
    let (guard, tree) = context(&["a", "secret/b"]);
    fs::rename(guard.path().join("secret"), guard.path().join("hidden")).unwrap();
    // Were it read, the path would be too long to be a path.
    let mut deep = guard.path().join("hidden");
    for _ in 0..3 {
        deep = deep.join("n".repeat(250));
        fs::create_dir(&deep).unwrap();
    }
    let asked = Selection { ignore: ignore(&["hidden"]), ..selection(tree, &["."]) };
    assert_eq!(paths(&asked), ["", "a"]);
}

#[test]
fn wildcards_enter_no_links_but_follow_what_they_match() {
    let (_guard, tree) = context(&["d/x", "l -> d", "f -> d/x", "dangling -> nowhere"]);
    assert_eq!(paths(&selection(tree.clone(), &["*/x"])), ["d/x"]);
    assert_eq!(paths(&selection(tree.clone(), &["f*"])), ["d/x"]);
    assert_eq!(paths(&selection(tree.clone(), &["dang*"])), ["dangling"]);
    assert!(choose(&selection(tree, &["dangling"])).is_err());
}

#[test]
fn a_loop_of_links_is_an_error_where_it_is_named_only() {
    let (_guard, tree) = context(&["d/x", "d/a -> b", "d/b -> a"]);
    assert_eq!(paths(&selection(tree.clone(), &["d"])), ["d", "d/a", "d/b", "d/x"]);
    assert!(choose(&selection(tree, &["d/a"])).is_err());
}

#[test]
fn a_wildcard_that_matches_nothing_is_told() {
    let (_guard, tree) = context(&["a"]);
    assert_eq!(choose(&selection(tree, &["a", "*.x", "b*"])).unwrap().unmatched, ["*.x", "b*"]);
}

#[test]
fn a_link_that_is_ignored_is_not_there() {
    let (_guard, tree) = context(&["d/x", "l -> d"]);
    let asked = Selection { ignore: ignore(&["l"]), ..selection(tree, &["l"]) };
    assert_eq!(choose(&asked).unwrap_err().ignored_by, Some(1));
}

#[test]
fn a_wide_tree_is_walked_in_order_on_several_threads() {
    let names: Vec<String> = (0..40).flat_map(|d| (0..5).map(move |f| format!("d{d:02}/e{}/f{f}", f % 2))).collect();
    let (_guard, tree) = context(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut expected = names.clone();
    for d in 0..40 {
        expected.extend([format!("d{d:02}"), format!("d{d:02}/e0"), format!("d{d:02}/e1")]);
    }
    expected.push(String::new());
    expected.sort();
    for _ in 0..5 {
        assert_eq!(paths(&selection(tree.clone(), &["."])), expected);
    }
}

#[test]
fn many_ignore_patterns_are_no_hindrance() {
    let (_guard, tree) = context(&["a", "b/c"]);
    let patterns: Vec<String> = (0..10_000).map(|index| format!("dir{index}/**/*.o")).collect();
    let asked = Selection { ignore: ignore(&patterns.iter().map(String::as_str).collect::<Vec<_>>()), ..selection(tree, &["."]) };
    let start = std::time::Instant::now();
    assert_eq!(paths(&asked), ["", "a", "b", "b/c"]);
    assert!(start.elapsed().as_secs() < 2);
}
