use super::*;
use proptest::prelude::*;

#[test]
fn components_match_as_in_go() {
    let cases = [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*", ".hidden", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "ab/c", false),
        ("a*b*c*d*e*", "axbxcxdxe", true),
        ("a*b*c*d*e*", "axbxcxdx", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("ab[!c]", "ab!", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "-", true),
        ("[[]", "[", true),
        ("**", "abc", true),
        ("a]", "a]", true),
    ];
    for (pattern, name, expected) in cases {
        assert_eq!(Component::new(pattern).unwrap().matches(name.as_bytes()), expected, "{pattern} ~ {name}");
    }
    for malformed in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "[a-b-c]", "\\", "a\\"] {
        assert!(Component::new(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn names_that_are_no_utf_8_match_byte_by_byte() {
    assert!(Component::new("a?b").unwrap().matches(b"a\xffb"));
    assert!(Component::new("a*").unwrap().matches(b"a\xff\xfe"));
    assert!(!Component::new("a?b").unwrap().matches(b"a\xff\xffb"));
}

#[test]
fn globs_match_as_in_moby() {
    let cases = [
        ("**", "file", true),
        ("**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/deep/file", true),
        ("dir/**", "dir", false),
        ("**/file", "file", true),
        ("**/file", "dir/deep/file", true),
        ("**/file", "dir/afile", false),
        ("**file", "dir/afile", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/deep/file", false),
        ("**/*.txt", "file.txt", true),
        ("**/*.txt", "a/b/file.txt", true),
        ("**/*.txt", "a/b/file.txtx", false),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "a/xb", false),
        ("a**b", "ab", true),
        ("a**b", "ax/b", true),
        ("a**", "abc/d", true),
        ("a*/**", "ab/c/d", true),
        ("a*/**", "ab", false),
        ("**/**/*.go", "x.go", true),
        ("**/a/**", "x/a/b", true),
        ("**/a/**", "x/a", false),
        ("*.py", "a.py", true),
        ("*.py", "dir/a.py", false),
        ("a.c", "abc", false),
        ("a+(b)|{c}^$", "a+(b)|{c}^$", true),
        ("[a-c]x", "bx", true),
        ("?", "/", false),
        ("abc\\*", "abc*", true),
        (".", "a", false),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(Glob::new(pattern).unwrap().matches(path.as_bytes()), expected, "{pattern} ~ {path}");
    }
}

fn list(patterns: &[&str]) -> PatternList {
    let patterns: Vec<IgnorePattern> = patterns
        .iter()
        .enumerate()
        .map(|(index, text)| IgnorePattern {
            pattern: text.trim_start_matches('!').to_owned(),
            negated: text.starts_with('!'),
            line: index as u32 + 1,
        })
        .collect();
    PatternList::of_ignore_file(&patterns).unwrap()
}

#[test]
fn the_last_match_decides_and_parents_count() {
    let cases: &[(&[&str], &str, bool)] = &[
        (&["docs"], "docs", true),
        (&["docs"], "docs/a/b", true),
        (&["docs"], "docs2", false),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs", "!docs/README.md"], "docs/other.md", true),
        (&["!docs/README.md", "docs"], "docs/README.md", true),
        (&["*", "!src/**"], "src/a.c", false),
        (&["*", "!src/**"], "src", true),
        (&["*", "!src"], "src/deep/a.c", false),
        (&["*", "!src"], "other/a.c", true),
        (&["**/*.o", "!keep/*.o"], "keep/a.o", false),
        (&["**/*.o", "!keep/*.o"], "keep/deep/a.o", true),
        (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
        (&["*.md", "!README*.md", "README-secret.md"], "README-x.md", false),
        (&["a", "!a/b", "a/b/c"], "a/b/c/d", true),
        (&["a", "!a/b", "a/b/c"], "a/b/x", false),
    ];
    for (patterns, path, expected) in cases {
        let list = list(patterns);
        assert_eq!(list.is_excluded(list.judge_whole(path.as_bytes())), *expected, "{patterns:?} ~ {path}");
    }
}

#[test]
fn a_walk_enters_excluded_directories_only_for_what_may_be_taken_back() {
    let below = |patterns: &[&str], directory: &str| {
        let list = list(patterns);
        list.may_include_below(directory.as_bytes(), list.judge_whole(directory.as_bytes()))
    };
    assert!(!below(&["dir"], "dir"));
    assert!(below(&["dir", "!dir/keep"], "dir"));
    assert!(!below(&["dir", "!other/keep"], "dir"));
    assert!(below(&["dir", "!**/keep"], "dir/deep"));
    assert!(below(&["*", "!src/*/x"], "src/any"));
    assert!(!below(&["*", "!src/*/x"], "src/any/x2"));
    assert!(!below(&["!dir/keep", "dir"], "dir"));
    assert!(below(&["*", "!a/**/z"], "a/b/c"));
}

#[test]
fn the_line_that_excludes_is_known() {
    let list = list(&["a", "dir", "!dir/keep"]);
    let verdict = list.judge_whole(b"dir/x");
    assert_eq!(list.line(verdict), Some(2));
}

#[test]
fn hostile_patterns_take_no_exponential_time() {
    let stars = "*a".repeat(400);
    let start = std::time::Instant::now();
    assert!(!Component::new(&stars).unwrap().matches("a".repeat(399).as_bytes()));
    let deep = "**/a/".repeat(100) + "b";
    assert!(!Glob::new(&deep).unwrap().matches("a/".repeat(300).as_bytes()));
    assert!(start.elapsed().as_secs() < 2);
}

/// The definition, tried in the obvious way.
fn reference(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.first() {
        None => name.is_empty(),
        Some(b'*') => reference(&pattern[1..], name) || (name.first().is_some_and(|byte| *byte != b'/') && reference(pattern, &name[1..])),
        Some(b'?') => name.first().is_some_and(|byte| *byte != b'/') && reference(&pattern[1..], &name[1..]),
        Some(byte) => name.first() == Some(byte) && reference(&pattern[1..], &name[1..]),
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_its_definition(pattern in "[ab*?/]{0,8}", name in "[ab/]{0,8}") {
        prop_assert_eq!(Component::new(&pattern).unwrap().matches(name.as_bytes()), reference(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn any_pattern_and_path_end(pattern in ".{0,300}", path in ".{0,300}") {
        if let Ok(glob) = Glob::new(&pattern) {
            glob.matches(path.as_bytes());
            glob.may_match_below(path.as_bytes());
        }
    }

    #[test]
    fn pruning_never_loses_a_match(pattern in "[ab*/]{1,8}", directory in "[ab]{1,2}(/[ab]{1,2}){0,2}", below in "[ab]{1,2}(/[ab]{1,2}){0,2}") {
        let glob = Glob::new(&clean(&pattern)).unwrap();
        let path = format!("{directory}/{below}");
        prop_assert!(!glob.matches(path.as_bytes()) || glob.matches(directory.as_bytes()) || glob.may_match_below(directory.as_bytes()));
    }
}
