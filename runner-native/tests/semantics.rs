//! What layers mean: judged by GNU tar, by the kernel's overlay, and by hand.
#![allow(clippy::unwrap_used)]

mod layers;

use layers::{Place, Tar, block, is_root, listing};
use rustix::fs::{AtFlags, FileType};
use stave_runner::overlay::{Entry, Stack};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A tree with everything that a file system has, as far as this user may make it.
fn make_everything(root: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("a/b/c")).unwrap();
    std::fs::create_dir_all(at("sticky")).unwrap();
    std::fs::create_dir_all(at("closed/inside")).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("a/file"), "content").unwrap();
    std::fs::write(at("a/b/big"), "0123456789abcdef".repeat(100_000)).unwrap();
    std::fs::write(at("a/b/setuid"), "setuid").unwrap();
    std::fs::write(at("closed/inside/x"), "x").unwrap();
    let deep: PathBuf = std::iter::repeat_n("a-rather-long-component-name-to-pass-one-hundred-bytes", 5).collect();
    std::fs::create_dir_all(at("long").join(&deep)).unwrap();
    std::fs::write(at("long").join(&deep).join("n".repeat(255)), "long").unwrap();
    symlink("a/file", at("link")).unwrap();
    symlink("/nowhere/".repeat(30), at("long-link")).unwrap();
    symlink("../../..", at("a/b/up")).unwrap();
    std::fs::hard_link(at("a/file"), at("a/b/hard")).unwrap();
    std::fs::hard_link(at("link"), at("hard-link-to-link")).unwrap();
    std::fs::write(at("name with spaces, ünïcödé, and \n newline"), "odd").unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, 0o640.into(), 0).unwrap();
    // Data, a hole, data, a hole at the end.
    let sparse = std::fs::File::create(at("sparse")).unwrap();
    rustix::io::pwrite(&sparse, b"start", 0).unwrap();
    for index in 1..40u64 {
        rustix::io::pwrite(&sparse, b"island", index * 400_000).unwrap();
    }
    sparse.set_len(20_000_000).unwrap();
    let holes = std::fs::File::create(at("only-hole")).unwrap();
    holes.set_len(5_000_000).unwrap();
    if is_root() {
        for (name, uid, gid) in [("a/file", 1000, 1000), ("a/b/setuid", 0, 42), ("link", 7, 8), ("fifo", 33, 33), ("a/b", 100_000, 5)] {
            std::os::unix::fs::lchown(at(name), Some(uid), Some(gid)).unwrap();
        }
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        rustix::fs::lsetxattr(at("empty"), "security.capability", &capability, rustix::fs::XattrFlags::empty()).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("null"), FileType::CharacterDevice, 0o666.into(), rustix::fs::makedev(1, 3)).unwrap();
    }
    rustix::fs::lsetxattr(at("a/file"), "user.kind", b"with \0 in it", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::lsetxattr(at("a/b"), "user.directory", b"yes", rustix::fs::XattrFlags::empty()).unwrap();
    for (name, mode) in
        [("a/b/setuid", 0o6755), ("sticky", 0o1777), ("a/file", 0o400), ("closed", 0o700), ("a/b", 0o2775), ("empty", 0o000)]
    {
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    for (name, seconds, nanoseconds) in
        [("a/file", 1_234_567_890, 123_456_789), ("link", -86_400, 0), ("a/b", 7_000_000_000, 1), ("a", 1, 0), ("fifo", -1, 500_000_000)]
    {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Lines without fractions of seconds, for formats that have none.
fn whole_seconds(lines: Vec<String>) -> Vec<String> {
    let cut = |line: String| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| match word.split_once('.') {
                Some((seconds, rest)) if rest.len() == 9 && rest.bytes().all(|byte| byte.is_ascii_digit()) => seconds.to_owned(),
                _ => word.to_owned(),
            })
            .collect();
        words.join(" ")
    };
    lines.into_iter().map(cut).collect()
}

#[test]
fn every_format_that_gnu_tar_writes_is_read_as_gnu_tar_reads_it() {
    if Command::new("tar").arg("--version").output().is_err() {
        eprintln!("skipped, because there is no tar");
        return;
    }
    let source = tempfile::tempdir().unwrap();
    make_everything(source.path());
    let formats: [(&str, &[&str]); 7] = [
        ("pax", &["--format=pax", "--xattrs", "--xattrs-include=*"]),
        ("pax-sparse-0.0", &["--format=pax", "--sparse", "--sparse-version=0.0", "--xattrs", "--xattrs-include=*"]),
        ("pax-sparse-0.1", &["--format=pax", "--sparse", "--sparse-version=0.1", "--xattrs", "--xattrs-include=*"]),
        ("pax-sparse-1.0", &["--format=pax", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*"]),
        ("gnu", &["--format=gnu"]),
        ("gnu-sparse", &["--format=gnu", "--sparse"]),
        ("oldgnu-sparse", &["--format=oldgnu", "--sparse"]),
    ];
    for (name, flags) in formats {
        let scratch = tempfile::tempdir().unwrap();
        let archive = scratch.path().join("tar");
        run(Command::new("tar").args(flags).arg("--numeric-owner").arg("-C").arg(source.path()).arg("-cf").arg(&archive).arg("."));
        let reference = scratch.path().join("reference");
        std::fs::create_dir(&reference).unwrap();
        run(Command::new("tar")
            .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"])
            .arg(&archive)
            .arg("-C")
            .arg(&reference));
        let place = Place::new();
        place.unpack_plain(vec![std::fs::read(&archive).unwrap()]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(place.warnings(), Vec::<String>::new(), "{name}");
        let (ours, theirs) = (listing(&place.tree(0)), listing(&reference));
        assert_eq!(ours, theirs, "{name}");
        if name == "pax" {
            assert_eq!(ours, listing(source.path()));
        } else if name.starts_with("pax") {
            assert_eq!(whole_seconds(ours), whole_seconds(listing(source.path())));
        }
        if name.contains("sparse") {
            for (file, most) in [("sparse", 40 * 64), ("only-hole", 8)] {
                let blocks = std::fs::metadata(place.tree(0).join(file)).unwrap().blocks();
                assert!(blocks <= most, "{name}: {file} takes {blocks} blocks");
            }
        }
    }
}

/// Everything in a merged view, in the lines of [`listing`], without times and links.
fn merged(stack: &Stack) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo: Vec<Entry> = stack.root().unwrap().into_iter().collect();
    while let Some(directory) = todo.pop() {
        for entry in stack.list(&directory).unwrap() {
            let content = match entry.kind() {
                FileType::RegularFile => {
                    let mut text = String::new();
                    let mut file = std::fs::File::from(entry.open(rustix::fs::OFlags::RDONLY).unwrap());
                    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
                    text
                }
                FileType::Symlink => entry.read_link().unwrap().to_string_lossy().into_owned(),
                _ => String::new(),
            };
            lines.push(format!("{} {:o} {}", entry.path.display(), entry.stat.st_mode, content));
            // What is listed can be looked up.
            let found = stack.lookup(&entry.path, false).unwrap().unwrap();
            assert_eq!((found.layer, found.stat.st_ino), (entry.layer, entry.stat.st_ino), "{}", entry.path.display());
            if entry.is_directory() {
                todo.push(entry);
            }
        }
    }
    lines.sort();
    lines
}

fn walked(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_file() {
                std::fs::read_to_string(&path).unwrap()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().to_string_lossy().into_owned()
            } else {
                String::new()
            };
            lines.push(format!("{} {:o} {}", path.strip_prefix(root).unwrap().display(), meta.mode(), content));
            if meta.is_dir() {
                todo.push(path);
            }
        }
    }
    lines.sort();
    lines
}

fn stack(place: &Place, count: usize) -> Stack {
    Stack::of((0..count).rev().map(|index| place.open(index)).collect())
}

/// Name, layers from the lowest, and the paths of the merged tree.
fn stacks() -> Vec<(&'static str, Vec<Tar>, Vec<&'static str>)> {
    let base = || Tar::default().dir("d").file("d/one", "1").file("d/two", "1").dir("e").file("e/x", "1").symlink("l", "d").file("f", "1");
    let top = Tar::default;
    vec![
        ("nothing", vec![base()], vec!["d", "d/one", "d/two", "e", "e/x", "f", "l"]),
        ("whiteout-of-file", vec![base(), top().file("d/.wh.one", "")], vec!["d", "d/two", "e", "e/x", "f", "l"]),
        ("whiteout-of-directory", vec![base(), top().file(".wh.d", "")], vec!["e", "e/x", "f", "l"]),
        ("whiteout-of-link", vec![base(), top().file(".wh.l", "")], vec!["d", "d/one", "d/two", "e", "e/x", "f"]),
        ("whiteout-of-nothing", vec![base(), top().file(".wh.zzz", "")], vec!["d", "d/one", "d/two", "e", "e/x", "f", "l"]),
        ("whiteout-then-file", vec![base(), top().file(".wh.f", "").file("f", "2")], vec!["d", "d/one", "d/two", "e", "e/x", "f", "l"]),
        ("file-then-whiteout", vec![base(), top().file("f", "2").file(".wh.f", "")], vec!["d", "d/one", "d/two", "e", "e/x", "f", "l"]),
        (
            "whiteout-then-directory",
            vec![base(), top().file(".wh.d", "").dir("d").file("d/new", "2")],
            vec!["d", "d/new", "e", "e/x", "f", "l"],
        ),
        (
            "directory-then-whiteout",
            vec![base(), top().dir("d").file("d/new", "2").file(".wh.d", "")],
            vec!["d", "d/new", "e", "e/x", "f", "l"],
        ),
        (
            "whiteout-then-implied-directory",
            vec![base(), top().file(".wh.d", "").file("d/new", "2")],
            vec!["d", "d/new", "e", "e/x", "f", "l"],
        ),
        ("whiteout-then-link", vec![base(), top().file(".wh.d", "").symlink("d", "e")], vec!["d", "e", "e/x", "f", "l"]),
        ("opaque-first", vec![base(), top().file("d/.wh..wh..opq", "").file("d/new", "2")], vec!["d", "d/new", "e", "e/x", "f", "l"]),
        ("opaque-last", vec![base(), top().file("d/new", "2").file("d/.wh..wh..opq", "")], vec!["d", "d/new", "e", "e/x", "f", "l"]),
        ("opaque-root", vec![base(), top().file("d/new", "2").file(".wh..wh..opq", "")], vec!["d", "d/new"]),
        ("opaque-root-first", vec![base(), top().file(".wh..wh..opq", "").file("f", "2").dir("d")], vec!["d", "f"]),
        ("file-over-directory", vec![base(), top().file("d", "2")], vec!["d", "e", "e/x", "f", "l"]),
        ("directory-over-file", vec![base(), top().file("f/g", "2")], vec!["d", "d/one", "d/two", "e", "e/x", "f", "f/g", "l"]),
        ("directory-over-link", vec![base(), top().file("l/g", "2")], vec!["d", "d/one", "d/two", "e", "e/x", "f", "l", "l/g"]),
        (
            "file-over-directory-then-directory",
            vec![base(), top().file("d", "2"), top().file("d/z", "3")],
            vec!["d", "d/z", "e", "e/x", "f", "l"],
        ),
        ("whiteout-in-the-middle", vec![base(), top().file(".wh.d", ""), top().file("d/z", "3")], vec!["d", "d/z", "e", "e/x", "f", "l"]),
        (
            "opaque-in-the-middle",
            vec![base(), top().file("d/.wh..wh..opq", "").file("d/m", "2"), top().file("d/z", "3")],
            vec!["d", "d/m", "d/z", "e", "e/x", "f", "l"],
        ),
        ("whiteout-in-a-whiteout", vec![base(), top().file(".wh.d", ""), top().file(".wh.d", ""), top()], vec!["e", "e/x", "f", "l"]),
        ("hard-link-to-below", vec![base(), top().hard_link("h", "d/one")], vec!["d", "d/one", "d/two", "e", "e/x", "f", "h", "l"]),
        (
            "hard-link-far-below",
            vec![base(), top().file("d/q", "2"), top().hard_link("e/h", "d/one")],
            vec!["d", "d/one", "d/q", "d/two", "e", "e/h", "e/x", "f", "l"],
        ),
    ]
}

#[test]
fn stacked_layers_show_what_they_must() {
    for (case, tars, expected) in stacks() {
        let place = Place::new();
        let count = tars.len();
        place.unpack_plain(tars.into_iter().map(Tar::end).collect()).unwrap_or_else(|error| panic!("{case}: {error}"));
        let lines = merged(&stack(&place, count));
        let names: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, expected, "{case}");
    }
}

/// The kernel is the judge of what an overlay tree means.
#[test]
fn the_kernels_overlay_shows_the_same() {
    if !is_root() {
        eprintln!("skipped, because only root can mount here");
        return;
    }
    let mut mounted = 0;
    for (case, tars, _) in stacks() {
        let place = Place::new();
        let count = tars.len();
        if count < 2 {
            continue;
        }
        place.unpack_plain(tars.into_iter().map(Tar::end).collect()).unwrap();
        let target = place.directory.path().join("merged");
        std::fs::create_dir(&target).unwrap();
        let lowers: Vec<String> = (0..count).rev().map(|index| place.tree(index).to_str().unwrap().to_owned()).collect();
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &format!("ro,lowerdir={}", lowers.join(":"))]).arg(&target);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped, because overlay cannot be mounted here");
            return;
        }
        let kernel = walked(&target);
        run(Command::new("umount").arg(&target));
        assert_eq!(merged(&stack(&place, count)), kernel, "{case}");
        mounted += 1;
    }
    assert!(mounted > 10);
}

#[test]
fn implied_directories_look_as_below() {
    let place = Place::new();
    let below =
        Tar::default().pax(&[("SCHILY.xattr.user.of", b"below")]).add(block("d", b'5').mode(0o1750).mtime(1_000_000_000)).dir("d/e");
    let above = Tar::default().file("d/e/f", "").file("new/f", "").add(block("d/e", b'5').mode(0o700));
    place.unpack_plain(vec![below.end(), above.end()]).unwrap();
    let meta = std::fs::metadata(place.tree(1).join("d")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o1750, 1_000_000_000));
    assert!(listing(&place.tree(1))[0].contains("user.of"));
    assert_eq!(std::fs::metadata(place.tree(1).join("d/e")).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::metadata(place.tree(1).join("new")).unwrap().mode() & 0o7777, 0o755);
    // What a whiteout removed below has no say.
    let place = Place::new();
    let below = Tar::default().add(block("d", b'5').mode(0o700)).end();
    place.unpack_plain(vec![below, Tar::default().file("d/f", "").file(".wh.d", "").end()]).unwrap();
    assert_eq!(std::fs::metadata(place.tree(1).join("d")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_hard_link_brings_its_target_up() {
    let place = Place::new();
    let below = Tar::default().pax(&[("SCHILY.xattr.user.x", b"1")]).add(block("d/target", b'0').mode(0o4750).data("below"));
    place.unpack_plain(vec![below.end(), Tar::default().hard_link("x", "d/target").hard_link("y", "x").end()]).unwrap();
    let tree = place.tree(1);
    let inodes: Vec<u64> = ["d/target", "x", "y"].iter().map(|name| std::fs::metadata(tree.join(name)).unwrap().ino()).collect();
    assert!(inodes.iter().all(|inode| *inode == inodes[0]));
    let meta = std::fs::metadata(tree.join("x")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.nlink()), (0o4750, 1_600_000_000, 3));
    assert_eq!(std::fs::read_to_string(tree.join("y")).unwrap(), "below");
    assert!(listing(&tree).iter().any(|line| line.contains("user.x")));
    // Not out of what this layer has emptied.
    let opaque = Tar::default().file("d/.wh..wh..opq", "").hard_link("x", "d/target").end();
    let below = Tar::default().file("d/target", "below").end();
    assert!(Place::new().unpack_plain(vec![below, opaque]).is_err());
}

#[test]
fn the_last_of_two_members_wins() {
    let place = Place::new();
    let tar = Tar::default()
        .add(block("f", b'0').mode(0o600).data("first"))
        .hard_link("g", "f")
        .add(block("f", b'0').mode(0o640).data("second"))
        .add(block("d", b'5').mode(0o700))
        .file("d/x", "")
        .add(block("d", b'5').mode(0o755).mtime(5));
    place.unpack_plain(vec![tar.end()]).unwrap();
    let read = |name: &str| std::fs::read_to_string(place.tree(0).join(name)).unwrap();
    assert_eq!((read("f"), read("g")), ("second".to_owned(), "first".to_owned()));
    let meta = std::fs::metadata(place.tree(0).join("d")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o755, 5));
    assert!(place.tree(0).join("d/x").exists());
}

#[test]
fn many_layers_wait_for_each_other() {
    // The largest are begun first, and all of them need what lies below.
    let layers = (0..40usize).map(|index| {
        let tar = Tar::default().file(&format!("d/{index}"), &"x".repeat(index * 5000));
        let tar = if index == 0 { tar } else { tar.hard_link(&format!("d/link{index}"), &format!("d/{}", index - 1)) };
        tar.end()
    });
    let place = Place::new();
    place.unpack_plain(layers.collect()).unwrap();
    let stack = stack(&place, 40);
    assert_eq!(merged(&stack).len(), 80);
}

#[test]
fn paths_resolve_inside_the_merged_tree() {
    let place = Place::new();
    let below =
        Tar::default().dir("usr/bin").file("usr/bin/sh", "shell").symlink("bin", "usr/bin").symlink("abs", "/usr/../bin").file("f", "");
    let above = Tar::default().symlink("up", "../../../usr").symlink("dangling", "usr/new/deep").symlink("loop", "loop");
    place.unpack_plain(vec![below.end(), above.end()]).unwrap();
    let stack = stack(&place, 2);
    for path in ["usr/bin/sh", "/bin/sh", "abs/sh", "up/bin/sh", "../../bin/sh", "bin/../bin/./sh"] {
        let entry = stack.lookup(path, true).unwrap().unwrap_or_else(|| panic!("{path}"));
        assert_eq!(entry.path, Path::new("usr/bin/sh"), "{path}");
    }
    assert_eq!(stack.lookup("bin", false).unwrap().unwrap().kind(), FileType::Symlink);
    assert!(stack.lookup("f/x", true).unwrap().is_none());
    assert!(stack.lookup("nothing/x", true).unwrap().is_none());
    assert!(stack.lookup("loop/x", true).is_err());
    let resolution = stack.resolve("dangling/x/../y", true).unwrap().unwrap();
    assert_eq!(resolution.path, Path::new("usr/new/deep/y"));
    assert_eq!((resolution.directory.path.as_path(), resolution.missing.len()), (Path::new("usr"), 3));
    assert!(stack.resolve("f/x", true).is_err());
    assert!(Stack::of(Vec::new()).lookup("x", true).unwrap().is_none());
}
