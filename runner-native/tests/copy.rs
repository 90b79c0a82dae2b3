//! COPY, ADD and WORKDIR: each case makes tree and layer, lets GNU tar unpack the layer, and compares the two.
#![allow(clippy::unwrap_used)] // helpers of tests

mod tree;

use serde_json::{Value, json};
use stave_runner::error::{Error, Kind};
use stave_runner::wire::tree::CopyResult;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tree::{Scene, is_root, listing};

/// What a case expects: the listing of the tree, or an error.
enum Expected {
    Tree(&'static [&'static str]),
    Error(Kind, &'static str),
}

struct Case {
    name: &'static str,
    context: &'static [&'static str],
    /// Layers, the lowest first.
    base: &'static [&'static [&'static str]],
    sources: &'static [&'static str],
    to: &'static str,
    request: Value,
    selection: Value,
    expected: Expected,
}

fn case(name: &'static str, sources: &'static [&'static str], to: &'static str) -> Case {
    let (request, selection) = (json!({}), json!({}));
    Case { name, context: &[], base: &[], sources, to, request, selection, expected: Expected::Tree(&[]) }
}

use Expected::{Error as Fails, Tree};

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    vec![
        Case { context: &["f 644 a.txt A"], expected: Tree(&["f 644 0:0 a.txt =A"]), ..case("a file to a name", &["a.txt"], "/a.txt") },
        Case {
            context: &["f 755 a.txt A"],
            expected: Tree(&["d 755 0:0 new", "d 755 0:0 new/deep", "f 755 0:0 new/deep/a.txt =A"]),
            ..case("a slash makes directories", &["a.txt"], "/new/deep/")
        },
        Case {
            context: &["f 644 a.txt A"],
            base: &[&["d 700 app"]],
            expected: Tree(&["d 700 0:0 app", "f 644 0:0 app/a.txt =A"]),
            ..case("an existing directory takes a file without a slash", &["a.txt"], "/app")
        },
        Case {
            context: &["f 644 Dockerfile F", "d 750 src", "f 640 src/a A", "d 755 src/sub", "f 644 src/sub/b B", "l src/link ../nowhere"],
            expected: Tree(&[
                "d 755 0:0 app",
                "f 640 0:0 app/a =A",
                "l app/link ../nowhere",
                "d 755 0:0 app/sub",
                "f 644 0:0 app/sub/b =B",
            ]),
            ..case("the contents of a directory, whose attributes a new one does not get", &["src"], "/app")
        },
        Case {
            context: &["f 644 Dockerfile F", "d 750 src", "d 711 src/sub", "f 644 src/sub/b B"],
            base: &[&["d 700 app", "d 700 app/sub", "f 600 app/sub/old O"]],
            expected: Tree(&["d 700 0:0 app", "d 711 0:0 app/sub", "f 644 0:0 app/sub/b =B"]),
            ..case("an existing destination keeps its attributes, its subdirectories do not", &["src"], "/app")
        },
        Case {
            context: &["f 644 Dockerfile F", "d 750 src", "f 640 src/a A"],
            expected: Tree(&["d 755 0:0 app", "f 640 0:0 app/a =A"]),
            ..case("a destination with a slash is made like a parent", &["src"], "/app/")
        },
        Case {
            context: &["d 755 d1", "f 644 d1/a A", "d 755 d2", "f 644 d2/b B", "f 644 c C"],
            expected: Tree(&["d 755 0:0 d", "f 644 0:0 d/a =A", "f 644 0:0 d/b =B", "f 644 0:0 d/c =C"]),
            ..case("a wildcard flattens directories", &["*"], "/d/")
        },
        Case {
            selection: json!({ "from": { "kind": "lowers", "lowers": [] } }),
            expected: Tree(&["d 755 0:0 d"]),
            ..case("all of the empty tree", &["."], "/d")
        },
        Case {
            selection: json!({ "from": { "kind": "lowers", "lowers": [] } }),
            expected: Fails(Kind::NotFound, "does not exist"),
            ..case("something of the empty tree", &["x"], "/d")
        },
        Case { context: &["f 644 a A"], expected: Tree(&[]), ..case("a wildcard that matches nothing", &["x*"], "/d/") },
        Case { context: &["f 644 a A"], expected: Fails(Kind::NotFound, "does not exist"), ..case("a missing source", &["b"], "/") },
        Case {
            context: &["f 644 a A", "f 644 b B"],
            expected: Fails(Kind::NotDirectory, "several sources"),
            ..case("several files to one name", &["a", "b"], "/x")
        },
        Case {
            context: &["f 644 a A", "f 644 b B"],
            expected: Fails(Kind::NotDirectory, "several sources"),
            ..case("a wildcard that matches several files to one name", &["*"], "/x")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["f 644 x old"]],
            expected: Fails(Kind::NotDirectory, "not a directory"),
            ..case("below a file", &["a"], "/x/y")
        },
        Case {
            context: &["d 755 d", "f 644 d/a A"],
            base: &[&["f 644 x old"]],
            expected: Fails(Kind::NotDirectory, "not a directory"),
            ..case("a directory over a file", &["d"], "/x")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 x", "d 755 x/a"]],
            expected: Fails(Kind::Exists, "directory /x/a"),
            ..case("a file over a directory", &["a"], "/x/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 real", "l link /real"]],
            expected: Tree(&["d 755 0:0 real", "f 644 0:0 real/a =A"]),
            ..case("a link in the destination is followed", &["a"], "/link/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["l link ../../../real/deep"]],
            expected: Tree(&["d 755 0:0 real", "d 755 0:0 real/deep", "f 644 0:0 real/deep/a =A"]),
            ..case("a dangling link is followed inside the root and made", &["a"], "/link/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 d", "l d/a /etc/passwd"]],
            expected: Tree(&["d 755 0:0 d", "f 644 0:0 d/a =A"]),
            ..case("a link inside the destination directory is replaced", &["a"], "/d/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["f 600 file old", "l x file"]],
            expected: Tree(&["f 644 0:0 file =A"]),
            ..case("a link as the destination name is followed", &["a"], "/x")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["l x y", "l y x"]],
            expected: Fails(Kind::NotDirectory, "too many"),
            ..case("a loop of links in the destination", &["a"], "/x/")
        },
        Case {
            context: &["d 755 d", "d 755 d/lib", "f 644 d/lib/a A"],
            base: &[&["d 755 usr", "d 755 usr/lib", "l lib usr/lib"]],
            expected: Fails(Kind::NotDirectory, "/lib"),
            ..case("a directory over a link to one", &["d"], "/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 x", "f 644 x/old O"], &["w x"]],
            expected: Tree(&["d 755 0:0 x", "f 644 0:0 x/a =A"]),
            ..case("what a whiteout hides is not there", &["a"], "/x/")
        },
        Case {
            context: &["d 755 d", "f 644 d/a A", "l to-d d", "l to-a d/a", "l dangling nowhere"],
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/to-a =A"]),
            ..case("a source that is a link to a file is followed", &["to-a"], "/o/")
        },
        Case {
            context: &["d 755 d", "f 644 d/a A", "l to-d d"],
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/a =A"]),
            ..case("a source that is a link to a directory is followed", &["to-d"], "/o")
        },
        Case {
            context: &["f 644 a A", "l up ../../../../a"],
            expected: Tree(&["f 644 0:0 b =A"]),
            ..case("no link leads out of the context", &["up"], "/b")
        },
        Case { context: &["f 644 a A"], expected: Tree(&["f 644 0:0 b =A"]), ..case("dots are clamped", &["../../a"], "/b") },
        Case {
            context: &["f 644 a A", "f 644 b B"],
            request: json!({ "chown": "1000" }),
            expected: Tree(&["d 755 1000:1000 n", "f 644 1000:1000 n/a =A"]),
            ..case("a numeric owner is the group too, and owns made directories", &["a"], "/n/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 etc", "f 644 etc/passwd app:x:7:8::/:/bin/sh\n", "f 644 etc/group g:x:9:\n"]],
            request: json!({ "chown": "app:g" }),
            expected: Tree(&["f 644 7:9 a =A"]),
            ..case("names of the image", &["a"], "/a")
        },
        Case {
            context: &["f 644 a A"],
            request: json!({ "chown": "ghost" }),
            expected: Fails(Kind::NoUser, "ghost"),
            ..case("an unknown user", &["a"], "/a")
        },
        Case {
            context: &["d 755 d", "f 644 d/a A"],
            request: json!({ "chmod": "600" }),
            expected: Tree(&["d 600 0:0 n", "d 600 0:0 n/o", "f 600 0:0 n/o/a =A"]),
            ..case("an octal mode is for all, made directories too", &["d"], "/n/o")
        },
        Case {
            context: &["f 644 Dockerfile F", "d 700 d", "f 600 d/a A", "f 700 d/b B"],
            request: json!({ "chmod": "u=rwX,go=rX" }),
            expected: Tree(&["d 755 0:0 n", "d 755 0:0 n/o", "f 644 0:0 n/o/a =A", "f 755 0:0 n/o/b =B"]),
            ..case("a symbolic mode is for what is copied", &["d"], "/n/o")
        },
        Case {
            context: &["f 4755 a A", "d 1777 t"],
            expected: Tree(&["d 755 0:0 o", "f 4755 0:0 o/a =A", "d 1777 0:0 o/t"]),
            ..case("set-id and sticky bits are kept", &["."], "/o")
        },
        Case {
            context: &["d 755 d", "f 644 d/a A", "h d/b d/a", "d 755 d/e", "h d/e/c d/a"],
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/a =A", "h o/b o/a", "d 755 0:0 o/e", "h o/e/c o/a"]),
            ..case("hard links within a source", &["d"], "/o")
        },
        Case {
            context: &["d 755 d", "f 644 d/a A", "d 755 e", "h e/b d/a"],
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/a =A", "f 644 0:0 o/b =A"]),
            ..case("no hard links between sources", &["d", "e"], "/o/")
        },
        Case {
            context: &["f 644 a A", "f 644 b B", "d 755 d", "f 644 d/c C", "f 644 d/keep K"],
            selection: json!({ "ignore": [
                { "pattern": "b", "negated": false, "line": 1 },
                { "pattern": "d", "negated": false, "line": 2 },
                { "pattern": "d/keep", "negated": true, "line": 3 },
            ] }),
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/a =A", "d 755 0:0 o/d", "f 644 0:0 o/d/keep =K"]),
            ..case("an ignore file", &["."], "/o")
        },
        Case {
            context: &["f 644 b B"],
            selection: json!({ "ignore": [{ "pattern": "b", "negated": false, "line": 7 }] }),
            expected: Fails(Kind::NotFound, "ignore file"),
            ..case("an ignored source", &["b"], "/b")
        },
        Case {
            context: &["d 755 d", "f 644 d/a.c A", "f 644 d/a.o O", "d 755 d/x", "f 644 d/x/b.o O"],
            selection: json!({ "exclude": ["*.o", "x/*.o"] }),
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/a.c =A", "d 755 0:0 o/x"]),
            ..case("excluded files", &["d"], "/o")
        },
        Case {
            context: &["f 644 home.txt A", "f 644 homing B", "f 644 other C"],
            selection: json!({ "exclude": ["*.txt"] }),
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/homing =B"]),
            ..case("excluded matches of a wildcard", &["hom*"], "/o/")
        },
        Case {
            context: &["f 644 Dockerfile F", "d 711 a", "d 755 a/b", "f 644 a/b/c.txt C", "f 644 a/b/d.md D"],
            request: json!({ "parents": true }),
            selection: json!({ "parents": true }),
            expected: Tree(&["d 755 0:0 o", "d 711 0:0 o/a", "d 755 0:0 o/a/b", "f 644 0:0 o/a/b/c.txt =C"]),
            ..case("parents are kept with their modes", &["./a/*/*.txt"], "/o/")
        },
        Case {
            context: &["f 644 a A"],
            request: json!({ "parents": true }),
            selection: json!({ "parents": true }),
            expected: Tree(&["d 755 0:0 o"]),
            ..case("parents of nothing make the destination", &["none*/x"], "/o/")
        },
        Case {
            context: &["d 755 a", "d 755 a/b", "f 644 a/b/c.txt C", "f 644 a/t.txt T"],
            request: json!({ "parents": true }),
            selection: json!({ "parents": true }),
            expected: Tree(&["d 755 0:0 o", "d 755 0:0 o/b", "f 644 0:0 o/b/c.txt =C", "f 644 0:0 o/t.txt =T"]),
            ..case("a pivot and two stars", &["a/./**/*.txt"], "/o/")
        },
        Case {
            context: &["f 644 a A"],
            request: json!({ "parents": true }),
            selection: json!({ "parents": true }),
            expected: Fails(Kind::NotFound, "does not exist"),
            ..case("a missing source with parents", &["a/./x"], "/o/")
        },
        Case {
            context: &["f 644 [x] A", "f 644 x B"],
            selection: json!({ "literal": true }),
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/[x] =A"]),
            ..case("a literal source", &["[x]"], "/o/")
        },
        Case {
            context: &["f 644 [x] A", "f 644 x B"],
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/[x] =A"]),
            ..case("an escaped bracket", &["[[]x]"], "/o/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 700 x", "l x/link /elsewhere"]],
            request: json!({ "link": true }),
            expected: Tree(&["d 755 0:0 x", "d 755 0:0 x/link", "f 644 0:0 x/link/a =A"]),
            ..case("an independent layer does not see the image", &["a"], "/x/link/")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 etc", "f 644 etc/passwd app:x:7:8::/:/bin/sh\n"]],
            request: json!({ "link": true, "chown": "app" }),
            expected: Fails(Kind::NoUser, "app"),
            ..case("an independent layer knows no names", &["a"], "/a")
        },
        Case {
            context: &["d 755 d", "f 644 d/.wh.x A"],
            expected: Fails(Kind::Unsupported, ".wh."),
            ..case("a file named like a whiteout", &["d"], "/")
        },
        Case {
            context: &["d 755 d", "p 644 d/fifo", "s d/socket", "f 644 d/a A"],
            expected: Tree(&["d 755 0:0 o", "f 644 0:0 o/a =A", "p 644 0:0 o/fifo"]),
            ..case("fifos are copied, sockets are not", &["d"], "/o")
        },
        Case {
            context: &["s socket"],
            expected: Fails(Kind::Unsupported, "is a socket"),
            ..case("a socket that is named", &["socket"], "/o")
        },
        Case {
            context: &["f 644 a A"],
            base: &[&["d 755 usr", "d 2775 usr/local"]],
            expected: Tree(&["d 755 0:0 usr", "d 2775 0:0 usr/local", "f 644 0:0 usr/local/a =A"]),
            ..case("directories on the way come along as they are", &["a"], "/usr/local/")
        },
    ]
}

fn perform(case: &Case) -> Result<(Scene, CopyResult), Error> {
    let scene = Scene::new(case.context, case.base);
    let mut selection = json!({ "from": scene.context(), "sources": case.sources, "resetOwner": true });
    merge(&mut selection, &case.selection);
    let mut request = json!({ "items": [{ "kind": "select", "selection": selection }], "to": case.to });
    merge(&mut request, &case.request);
    let result = scene.copy(request)?;
    Ok((scene, result))
}

fn merge(into: &mut Value, from: &Value) {
    let Value::Object(from) = from else { panic!("an object") };
    for (key, value) in from {
        into[key] = value.clone();
    }
}

#[test]
fn tree_and_layer_are_what_copy_means() {
    if !is_root() {
        eprintln!("skipped, because only root can set owners");
        return;
    }
    for case in cases() {
        match (perform(&case), &case.expected) {
            (Ok((scene, result)), Tree(expected)) => {
                assert_eq!(listing(&scene.tree()), *expected, "{}", case.name);
                assert_eq!(scene.unpacked_layer(), listing(&scene.tree()), "{}: the layer", case.name);
                assert_eq!(result.entries as usize, expected.len(), "{}", case.name);
                assert_eq!(result.unmatched.is_empty(), !case.name.contains("nothing"));
            }
            (Err(error), Fails(kind, text)) => {
                assert_eq!(error.kind, *kind, "{}: {error}", case.name);
                assert!(error.message.contains(text), "{}: {error}", case.name);
            }
            (Ok((scene, _)), Fails(..)) => panic!("{}: made {:?}", case.name, listing(&scene.tree())),
            (Err(error), Tree(_)) => panic!("{}: {error}", case.name),
        }
    }
}

#[test]
fn an_ignored_source_names_the_line() {
    let case = cases().into_iter().find(|case| case.name == "an ignored source").unwrap();
    assert_eq!(perform(&case).err().unwrap().ignored_by, Some(7));
}

#[test]
fn inline_files_downloads_and_directories() {
    if !is_root() {
        eprintln!("skipped, because only root can set owners");
        return;
    }
    let scene = Scene::new(&["f 644 download D"], &[&["d 755 etc", "f 644 etc/passwd app:x:7:8::/:/bin/sh\n"]]);
    let file = scene.context_file("download");
    let items = json!([
        { "kind": "inline", "name": "run.sh", "content": "#!/bin/sh\n" },
        { "kind": "file", "name": "got", "file": file, "mode": 0o600, "mtime": 77 },
    ]);
    scene.copy(json!({ "items": items, "to": "/o/", "epoch": 1000 })).unwrap();
    assert_eq!(listing(&scene.tree()), ["d 755 0:0 o", "f 600 0:0 o/got =D", "f 644 0:0 o/run.sh =#!/bin/sh\n"]);
    assert_eq!(scene.mtime("o/got"), 77);
    assert_eq!(scene.mtime("o/run.sh"), 1000);
    assert_eq!(scene.mtime("o"), 1000);

    for (user, owner) in [(json!("app"), "7:8"), (json!("7"), "7:7"), (json!("9"), "9:9"), (json!("nobody"), "0:0"), (Value::Null, "0:0")] {
        let scene = Scene::new(&[], &[&["d 700 there", "d 755 etc", "f 644 etc/passwd app:x:7:8::/:/bin/sh\n"]]);
        let mut request = json!({ "items": [{ "kind": "directory" }], "to": "/there/work/dir" });
        if !user.is_null() {
            request["user"] = user;
        }
        scene.copy(request).unwrap();
        let expected = ["d 700 0:0 there".to_owned(), format!("d 755 {owner} there/work"), format!("d 755 {owner} there/work/dir")];
        assert_eq!(listing(&scene.tree()), expected);
    }
    let scene = Scene::new(&[], &[&["d 700 there"]]);
    let result = scene.copy(json!({ "items": [{ "kind": "directory" }], "to": "/there" })).unwrap();
    assert_eq!((result.entries, result.layer.unwrap().uncompressed_size), (0, 1024));
    assert!(listing(&scene.tree()).is_empty());
}

#[test]
fn times_owners_and_attributes_of_other_stages_are_kept() {
    if !is_root() {
        eprintln!("skipped, because only root can set owners");
        return;
    }
    let scene = Scene::new(&[], &[&["d 755 out", "f 755 out/tool T"]]);
    let tool = scene.base(0).join("out/tool");
    std::os::unix::fs::chown(&tool, Some(12), Some(34)).unwrap();
    scene.set_mtime(&tool, 1_234_567_890);
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(&tool, "security.capability", &capability, rustix::fs::XattrFlags::empty()).unwrap();
    let selection = json!({ "from": { "kind": "lowers", "lowers": scene.lowers() }, "sources": ["/out/tool"] });
    scene.copy(json!({ "base": [], "items": [{ "kind": "select", "selection": selection }], "to": "/bin/" })).unwrap();
    assert_eq!(listing(&scene.tree()), ["d 755 0:0 bin", "f 755 12:34 bin/tool =T {security.capability}"]);
    assert_eq!(scene.unpacked_layer(), listing(&scene.tree()));
    assert_eq!(scene.mtime("bin/tool"), 1_234_567_890);
}

#[test]
fn times_after_the_epoch_are_clamped() {
    if !is_root() {
        eprintln!("skipped, because only root can set owners");
        return;
    }
    let scene = Scene::new(&["f 644 old O", "f 644 new N"], &[]);
    scene.set_mtime(&scene.path("context/old"), 500);
    scene.set_mtime(&scene.path("context/new"), 5000);
    let selection = json!({ "from": scene.context(), "sources": ["."], "resetOwner": true });
    scene.copy(json!({ "items": [{ "kind": "select", "selection": selection }], "to": "/o", "epoch": 1000 })).unwrap();
    assert_eq!((scene.mtime("o/old"), scene.mtime("o/new"), scene.mtime("o")), (500, 1000, 1000));
}

#[test]
fn archives_are_unpacked_by_content() {
    if !is_root() {
        eprintln!("skipped, because only root can set owners");
        return;
    }
    let make = "umask 022 && cd \"$0\" && mkdir -p in/d && echo A > in/d/a && ln in/d/a in/d/b && ln -s a in/d/l && chown 5:6 in/d/a && chmod 640 in/d/a \
        && tar -C in -cf plain.bin d && gzip -k plain.bin && mv plain.bin.gz packed.txt && xz -k plain.bin && mv plain.bin.xz packed.xz \
        && zstd -q plain.bin -o packed.zst && echo text | gzip > text.tar.gz && mkdir ctx && mv plain.bin packed.* text.tar.gz ctx";
    for (source, expected) in [("plain.bin", true), ("packed.txt", true), ("packed.xz", true), ("packed.zst", true), ("text.tar.gz", false)]
    {
        // Over a base that has a link and a directory where the archive has other things.
        let scene = Scene::new(&[], &[&["d 700 o", "d 755 o/d", "d 755 o/d/a", "f 644 o/d/a/below X", "l o/d/l elsewhere"]]);
        let status = std::process::Command::new("sh").args(["-ec", make]).arg(scene.path("context")).status().unwrap();
        assert!(status.success());
        let sources = [format!("ctx/{source}")];
        let selection = json!({ "from": scene.context(), "sources": sources, "resetOwner": true, "unpack": true });
        scene.copy(json!({ "items": [{ "kind": "select", "selection": selection }], "to": "/o" })).unwrap();
        let unpacked = ["d 700 0:0 o", "d 755 0:0 o/d", "f 640 5:6 o/d/a =A\n", "h o/d/b o/d/a", "l o/d/l a"];
        if expected {
            assert_eq!(listing(&scene.tree()), unpacked, "{source}");
            assert_eq!(scene.unpacked_layer(), unpacked, "{source}");
        } else {
            assert!(fs::exists(scene.tree().join("o/text.tar.gz")).unwrap());
        }
    }
}

/// The archive's own directory is not the one that it is unpacked into, and an owner is for what lies in the archive.
#[test]
fn an_archive_changes_no_directory_that_it_does_not_hold() {
    if !is_root() {
        eprintln!("skipped, because only root can set owners");
        return;
    }
    let scene = Scene::new(&[], &[&["d 755 opt", "d 1777 opt/app"]]);
    let make = "mkdir -p \"$0/in/deep/er\" && echo A > \"$0/in/deep/er/a\" && chmod 644 \"$0/in/deep/er/a\" && chmod 700 \"$0/in\" && chown 5:6 \"$0/in\" \
        && tar -C \"$0/in\" -cf \"$0/whole.tar\" --no-recursion ./ deep/er/a";
    assert!(std::process::Command::new("sh").args(["-ec", make]).arg(scene.path("context")).status().unwrap().success());
    let selection = json!({ "from": scene.context(), "sources": ["whole.tar"], "resetOwner": true, "unpack": true });
    scene.copy(json!({ "items": [{ "kind": "select", "selection": selection }], "to": "/opt/app/", "chown": "7:8" })).unwrap();
    let expected =
        ["d 755 0:0 opt", "d 1777 0:0 opt/app", "d 755 0:0 opt/app/deep", "d 755 0:0 opt/app/deep/er", "f 644 7:8 opt/app/deep/er/a =A\n"];
    assert_eq!(listing(&scene.tree()), expected);
    assert_eq!(scene.unpacked_layer(), expected);
}

#[test]
fn what_an_index_cannot_say_is_unpacked() {
    if !is_root() || !tree::can_mount() {
        return;
    }
    let scene = Scene::new(&["d 755 d", "f 644 d/a A", "h d/b d/a"], &[&["d 700 o"]]);
    // Together larger than every file system holds beside an inode.
    let large = rustix::fs::setxattr(scene.path("context/d/a"), "user.large", &[7; 2100], rustix::fs::XattrFlags::empty());
    if large.is_err() {
        eprintln!("skipped, because this file system takes no large attribute");
        return;
    }
    let selection = json!({ "from": scene.context(), "sources": ["d"], "resetOwner": true });
    scene.copy(json!({ "items": [{ "kind": "select", "selection": selection }], "to": "/o/" })).unwrap();
    assert!(scene.path("indexed-gzip/fs").is_dir() && scene.path("indexed-none/fs").is_dir());
}

#[test]
fn a_full_disk_while_the_tar_is_written_is_told() {
    if !is_root() || !tree::can_mount() {
        return;
    }
    let scene = Scene::new(&["f 644 a A"], &[]);
    fs::write(scene.path("context/a"), vec![7; 3 << 20]).unwrap();
    // What is in memory cannot be mounted from.
    let (image, small) = (scene.path("disk"), scene.path("snapshot"));
    fs::File::create(&image).unwrap().set_len(2 << 20).unwrap();
    let make = "mkfs.ext4 -q \"$0\" && mount -o loop \"$0\" \"$1\"";
    if !std::process::Command::new("sh").args(["-c", make]).args([&image, &small]).status().unwrap().success() {
        eprintln!("skipped, because no file system in a file can be made and mounted here");
        return;
    }
    let selection = json!({ "from": scene.context(), "sources": ["a"], "resetOwner": true });
    let request = json!({
        "items": [{ "kind": "select", "selection": selection }], "to": "/o", "tree": scene.place("snapshot"), "form": "index",
    });
    let error = scene.copy_layer(request, "gzip").unwrap_err();
    rustix::mount::unmount(&small, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(error.kind, Kind::NoSpace, "{error}");
    assert!(error.to_string().contains("write(tar)"), "{error}");
}

#[test]
fn the_same_copy_is_the_same_layer_on_any_number_of_cores() {
    let make = || {
        // The umask is the process's, and other tests' copies set it: it must not decide over the modes of the files.
        let write = |path: PathBuf, content: Vec<u8>| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        };
        let scene = Scene::new(&["d 755 big"], &[]);
        for index in 0..700 {
            write(scene.path(&format!("context/big/{index}")), vec![b'a' + (index % 26) as u8; index * 37]);
            scene.set_mtime(&scene.path(&format!("context/big/{index}")), 1000);
        }
        // Larger than a piece, and not a multiple of anything.
        write(scene.path("context/big/huge"), (0..5_000_003u32).map(|at| (at / 7) as u8).collect());
        scene.set_mtime(&scene.path("context/big/huge"), 1000);
        scene.set_mtime(&scene.path("context/big"), 1000);
        let selection = json!({ "from": scene.context(), "sources": ["big"], "resetOwner": true });
        scene.copy_layer(json!({ "items": [{ "kind": "select", "selection": selection }], "to": "/o", "epoch": 2000 }), "gzip").unwrap()
    };
    let many = make();
    let one = std::thread::spawn(move || {
        let mut single = rustix::thread::CpuSet::new();
        single.set(0);
        rustix::thread::sched_setaffinity(None, &single).unwrap();
        make()
    });
    assert_eq!(format!("{:?}", many.layer), format!("{:?}", one.join().unwrap().layer));
}

#[test]
fn a_plain_output_is_placed_beside_what_is_there() {
    let scene = Scene::new(&["d 755 d", "f 644 d/a new", "l d/l a"], &[]);
    let out = scene.path("out");
    fs::create_dir_all(out.join("keep")).unwrap();
    fs::write(out.join("a"), "old").unwrap();
    let selection = json!({ "from": scene.context(), "sources": ["d"], "resetOwner": true });
    let request = json!({ "base": [], "items": [{ "kind": "select", "selection": selection }], "to": "/", "plain": scene.place("out") });
    scene.copy_plainly(request).unwrap();
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "new");
    assert!(out.join("keep").is_dir());
    assert_eq!(fs::read_link(out.join("l")).unwrap().to_str(), Some("a"));
}

#[test]
fn a_plain_output_follows_no_link() {
    let scene = Scene::new(&["d 755 d", "d 755 d/sub", "f 644 d/sub/a new"], &[]);
    fs::create_dir_all(scene.path("out")).unwrap();
    fs::create_dir_all(scene.path("victim")).unwrap();
    std::os::unix::fs::symlink(scene.path("victim"), scene.path("out/sub")).unwrap();
    let selection = json!({ "from": scene.context(), "sources": ["d"], "resetOwner": true });
    let request = json!({ "base": [], "items": [{ "kind": "select", "selection": selection }], "to": "/", "plain": scene.place("out") });
    assert!(scene.copy_plainly(request).is_err());
    assert!(fs::read_dir(scene.path("victim")).unwrap().next().is_none());
}
