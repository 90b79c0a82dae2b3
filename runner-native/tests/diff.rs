//! Layers of upper directories: a shell changes a mounted overlay, the changes become a layer, the layer is unpacked
//! above the same lowers, and the kernel is asked whether it shows the same.
#![allow(clippy::unwrap_used)] // helpers of tests

mod tree;

use serde_json::json;
use stave_runner::layer::diff::diff;
use stave_runner::layer::squash::squash;
use stave_runner::layer::unpack::{self, Job, Layer};
use stave_runner::overlay::Stack;
use stave_runner::wire::layer::{Compression, LayerOutput, LayerResult};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use tree::{Scene, events, is_root, listing};

fn mounted<T>(scene: &Scene, upper: Option<&Path>, lowers: &[PathBuf], then: impl FnOnce(&Path) -> T) -> T {
    let (merged, work) = (scene.path("merged"), scene.path("work"));
    let _ = fs::create_dir(&merged);
    let lowerdir = lowers.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    let mut options = format!("lowerdir={lowerdir},index=off,metacopy=off,redirect_dir=off");
    if let Some(upper) = upper {
        let _ = fs::remove_dir_all(&work);
        fs::create_dir(&work).unwrap();
        let more = [",upperdir=", &upper.display().to_string(), ",workdir=", &work.display().to_string()];
        options.extend(more);
    }
    let mount = Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged).status().unwrap();
    assert!(mount.success(), "mount {options}");
    let value = then(&merged);
    // Lazily: a test beside this one that forks just now holds copies of what was open here, until its exec.
    assert!(Command::new("umount").arg("--lazy").arg(&merged).status().unwrap().success());
    value
}

fn lowers(scene: &Scene, count: usize) -> Vec<PathBuf> {
    (0..count).rev().map(|index| scene.base(index)).collect()
}

fn stack(paths: &[PathBuf]) -> Stack {
    Stack::of(paths.iter().map(|path| OwnedFd::from(File::open(path).unwrap())).collect())
}

fn layer_of(scene: &Scene, upper: &Path, below: &[PathBuf], name: &str) -> LayerResult {
    let blob = json!({ "fd": tree::open(&scene.path(".")), "path": name });
    let output: LayerOutput = serde_json::from_value(json!({ "blob": blob, "compression": "gzip" })).unwrap();
    diff(File::open(upper).unwrap().into(), &stack(below), &output, &events()).unwrap()
}

fn names(scene: &Scene, blob: &str) -> Vec<String> {
    let list = Command::new("tar").arg("-tzf").arg(scene.path(blob)).output().unwrap();
    String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The layers with one more, unpacked.
fn unpacked(scene: &Scene, made: LayerResult, below: &[PathBuf]) -> Vec<PathBuf> {
    let layer = Layer {
        blob: File::open(scene.path("blob")).unwrap().into(),
        compression: Compression::Gzip,
        digest: made.digest,
        size: made.size,
        diff_id: Some(made.diff_id),
        into: File::open(scene.path("snapshot")).unwrap().into(),
    };
    let open = below.iter().map(|path| OwnedFd::from(File::open(path).unwrap())).collect();
    unpack::unpack(
        Job {
            form: stave_runner::wire::layer::TreeForm::Tree,
            lowers: open,
            layers: vec![layer],
            max_bytes: None,
            max_entries: None,
            confine: false,
        },
        &events(),
    )
    .unwrap();
    let mut with_layer = vec![scene.tree()];
    with_layer.extend_from_slice(below);
    // An overlay needs two lowers.
    with_layer.push(scene.path("empty"));
    fs::create_dir(scene.path("empty")).unwrap();
    with_layer
}

/// What a script does to a base, and the names that its layer then has.
/// Name, layers, script, names in the layer.
type Case = (&'static str, &'static [&'static [&'static str]], &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    ("nothing", &[&["d 755 a"]], "true", &[]),
    ("a new file brings its parents", &[&["d 700 a", "d 755 a/b"]], "echo x > a/b/new", &["a/", "a/b/", "a/b/new"]),
    ("a file that is removed", &[&["d 755 a", "f 644 a/x X"]], "rm a/x", &["a/", "a/.wh.x"]),
    ("a directory that is removed", &[&["d 755 a", "d 755 a/b", "f 644 a/b/x X"]], "rm -r a/b", &["a/", "a/.wh.b"]),
    (
        "a directory that is removed and made again is opaque",
        &[&["d 755 a", "f 644 a/x X"]],
        "rm -r a; mkdir a; echo y > a/y",
        &["a/", "a/.wh..wh..opq", "a/y"],
    ),
    (
        "a new directory is not opaque, whatever the kernel marks",
        &[&["d 755 a"]],
        "mkdir a/new; touch a/new/f",
        &["a/", "a/new/", "a/new/f"],
    ),
    ("made and removed again", &[&["d 755 a"]], "touch a/x; rm a/x", &[]),
    ("opened for writing and not changed", &[&["d 755 a", "f 644 a/x X"]], ": >> a/x", &[]),
    ("a mode", &[&["d 755 a", "f 644 a/x X"]], "chmod 600 a/x", &["a/", "a/x"]),
    ("a mode of a directory", &[&["d 755 a", "f 644 a/x X"]], "chmod 700 a", &["a/"]),
    ("a file becomes a directory", &[&["f 644 a X"]], "rm a; mkdir a; touch a/x", &["a/", "a/x"]),
    ("a directory becomes a file", &[&["d 755 a", "f 644 a/x X"]], "rm -r a; touch a", &["a"]),
    ("a link becomes a directory", &[&["d 755 t", "l a t"]], "rm a; mkdir a; touch a/x", &["a/", "a/x"]),
    ("a rename", &[&["d 755 a", "f 644 a/x X"]], "mv a b", &[".wh.a", "b/", "b/x"]),
    ("hard links", &[&["d 755 a"]], "echo x > a/1; ln a/1 a/2; mkdir a/d; ln a/1 a/d/3", &["a/", "a/1", "a/2", "a/d/", "a/d/3"]),
    ("a link to a lower file", &[&["f 644 x X"]], "ln x y", &["x", "y"]),
    (
        "several lower layers",
        &[&["d 755 a", "f 644 a/x X", "f 644 a/y Y"], &["d 755 a", "f 644 a/z Z", "w gone"]],
        "rm a/x; echo new > a/z",
        &["a/", "a/.wh.x", "a/z"],
    ),
    ("order is that of a walk", &[&[]], "mkdir a; touch a/z a.txt a-b b", &["a/", "a/z", "a-b", "a.txt", "b"]),
    ("links, fifos and devices", &[&[]], "ln -s /x l; mkfifo p; mknod n c 1 3", &["l", "n", "p"]),
    ("a file with attributes", &[&[]], "touch f; setfattr -n user.a -v b f 2>/dev/null || true", &["f"]),
];

#[test]
fn a_layer_does_again_what_was_done() {
    if !is_root() {
        eprintln!("skipped, because only root can mount an overlay");
        return;
    }
    for (name, base, script, expected) in CASES {
        let scene = Scene::new(&[], base);
        let below = lowers(&scene, base.len());
        let upper = scene.path("upper");
        fs::create_dir(&upper).unwrap();
        let before = mounted(&scene, Some(&upper), &below, |merged| {
            let status = Command::new("sh").args(["-ec", script]).current_dir(merged).env("LC_ALL", "C").status().unwrap();
            assert!(status.success(), "{name}");
            listing(merged)
        });
        let made = layer_of(&scene, &upper, &below, "blob");
        assert_eq!(names(&scene, "blob"), *expected, "{name}");
        // The same again is the same, bit for bit.
        assert_eq!(format!("{:?}", layer_of(&scene, &upper, &below, "again")), format!("{made:?}"), "{name}");

        let with_layer = unpacked(&scene, made, &below);
        assert_eq!(mounted(&scene, None, &with_layer, listing), before, "{name}");
    }
}

/// Name, layers, a script for each upper, names in the one layer of them.
type Squashed = (&'static str, &'static [&'static [&'static str]], &'static [&'static str], &'static [&'static str]);

const SQUASHED: &[Squashed] = &[
    ("made and removed again", &[&["d 755 a"]], &["echo x > a/x", "rm a/x"], &[]),
    ("removed, of the base", &[&["d 755 a", "f 644 a/x X"]], &["rm a/x", "echo y > a/y"], &["a/", "a/.wh.x", "a/y"]),
    ("removed and made again as it was", &[&["d 755 a", "f 644 a/x X"]], &["mv a/x a/z", "mv a/z a/x"], &[]),
    (
        "a directory that was removed and made again hides what was in it",
        &[&["d 755 a", "f 644 a/x X"]],
        &["rm -r a", "mkdir a; echo y > a/y"],
        &["a/", "a/.wh..wh..opq", "a/y"],
    ),
    (
        "and so on below it",
        &[&["d 755 a", "d 755 a/b", "f 644 a/b/x X"]],
        &["rm -r a", "mkdir -p a/b", "touch a/b/y; rm a/b/y; touch a/b/z"],
        &["a/", "a/.wh..wh..opq", "a/b/", "a/b/z"],
    ),
    ("changed by all, the last wins", &[&["f 644 f X"]], &["echo 1 > f", "echo 2 > f", "chmod 600 f"], &["f"]),
    (
        "a directory becomes a file becomes a directory",
        &[&["d 755 a", "f 644 a/x X"]],
        &["rm -r a; touch a", "rm a; mkdir a; touch a/y"],
        &["a/", "a/.wh..wh..opq", "a/y"],
    ),
    (
        "what nobody touched is not looked at",
        &[&["d 755 a", "f 644 a/x X", "d 755 b"], &["d 755 a", "w a/x"]],
        &["touch b/1", "touch b/2"],
        &["b/", "b/1", "b/2"],
    ),
    ("hard links", &[&["d 755 a"]], &["echo x > a/1; ln a/1 a/2", "touch b"], &["a/", "a/1", "a/2", "b"]),
    ("links and fifos", &[&["l l x"]], &["rm l; ln -s /y l; mkfifo p", "true"], &["l", "p"]),
    ("mode of a directory, and back", &[&["d 755 a", "f 644 a/x X"]], &["chmod 700 a", "chmod 755 a"], &[]),
];

#[test]
fn several_uppers_become_one_layer() {
    if !is_root() {
        eprintln!("skipped, because only root can mount an overlay");
        return;
    }
    for (name, base, scripts, expected) in SQUASHED {
        let scene = Scene::new(&[], base);
        let below = lowers(&scene, base.len());
        let mut all = below.clone();
        let mut before = Vec::new();
        for (index, script) in scripts.iter().enumerate() {
            let upper = scene.path(&format!("upper{index}"));
            fs::create_dir(&upper).unwrap();
            before = mounted(&scene, Some(&upper), &all, |merged| {
                let status = Command::new("sh").args(["-ec", script]).current_dir(merged).env("LC_ALL", "C").status().unwrap();
                assert!(status.success(), "{name}");
                listing(merged)
            });
            all.insert(0, upper);
        }
        let blob = json!({ "fd": tree::open(&scene.path(".")), "path": "blob" });
        let output: LayerOutput = serde_json::from_value(json!({ "blob": blob, "compression": "gzip" })).unwrap();
        let made = squash(stack(&all), scripts.len(), &stack(&below), &output, &events()).unwrap();
        assert_eq!(names(&scene, "blob"), *expected, "{name}");
        let with_layer = unpacked(&scene, made, &below);
        assert_eq!(mounted(&scene, None, &with_layer, listing), before, "{name}");
    }
}

#[test]
fn the_tree_digest_knows_no_times() {
    if !is_root() {
        eprintln!("skipped, because owners of an upper must be the same twice");
        return;
    }
    let digest = |mtime, content: &str| {
        let scene = Scene::new(&[], &[]);
        let upper = scene.path("upper");
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join("f"), content).unwrap();
        scene.set_mtime(&upper.join("f"), mtime);
        let made = layer_of(&scene, &upper, &[], "blob");
        (made.tree_digest, made.diff_id)
    };
    let (first, second) = (digest(1000, "x"), digest(2000, "x"));
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
    assert_ne!(first.0, digest(1000, "y").0);
}

#[test]
fn an_empty_upper_is_an_empty_archive() {
    let scene = Scene::new(&[], &[]);
    let upper = scene.path("upper");
    fs::create_dir(&upper).unwrap();
    let made = layer_of(&scene, &upper, &[], "blob");
    assert_eq!((made.entries, made.uncompressed_size), (0, 1024));
}
