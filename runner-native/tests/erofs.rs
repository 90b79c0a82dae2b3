//! Images that are mounted in place of unpacked layers: the kernel shows the same tree as the unpacker makes, and
//! fsck.erofs (where it is installed) finds nothing.
#![allow(clippy::unwrap_used)]

mod layers;

use layers::{Place, Tar, block, digest, is_root, listing};
use proptest::prelude::*;
use stave_runner::erofs::mount::{check, mount};
use stave_runner::erofs::table::Extent;
use stave_runner::erofs::{self, Body, Data, Id, Inode, ROOT, Table};
use stave_runner::error::Kind;
use stave_runner::overlay::Stack;
use stave_runner::tar::Time;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

/// A table beside the tar that says the same.
#[derive(Default)]
struct Both {
    table: Table,
    tar: Tar,
}

impl Both {
    /// Puts an inode under a path, whose directories are there.
    fn put(&mut self, path: &str, inode: Inode) -> Id {
        let (parent, name) = self.place(path);
        self.table.put(parent, name.as_bytes(), inode).unwrap()
    }

    fn place(&self, path: &str) -> (Id, String) {
        let mut names: Vec<&str> = path.split('/').collect();
        let name = names.pop().unwrap();
        let parent = names.iter().fold(ROOT, |at, name| self.table.child(at, name.as_bytes()).unwrap());
        (parent, name.to_owned())
    }

    fn add(&mut self, flag: u8, path: &str, about: &About, link: &str, data: &[u8], body: Body) {
        let mut records: Vec<(String, Vec<u8>)> = vec![("path".into(), path.into())];
        records.extend(about.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.clone())));
        // Nanoseconds always count forward; a decimal number before 1970 counts backward.
        let time = match (about.seconds, about.nanoseconds) {
            (..0, 1..) => format!("-{}.{:09}", -(about.seconds + 1), 1_000_000_000 - about.nanoseconds),
            (seconds, nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        };
        records.push(("mtime".into(), time.into_bytes()));
        if !link.is_empty() {
            records.push(("linkpath".into(), link.into()));
        }
        let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (&**key, &**value)).collect();
        let member = block("x", flag).mode(about.mode).owner(about.uid.into(), about.gid.into()).data(data);
        let member = if let Body::Device { major, minor, .. } = body { member.device(major, minor) } else { member };
        self.tar = std::mem::take(&mut self.tar).pax(&records).add(member);
        let xattrs = about.xattrs.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
        let mtime = Time { seconds: about.seconds, nanoseconds: about.nanoseconds };
        self.put(path, Inode { mode: about.mode, uid: about.uid, gid: about.gid, mtime, xattrs, body });
    }

    fn dir(&mut self, path: &str, about: &About) {
        self.add(b'5', path, about, "", b"", Body::Directory(BTreeMap::new()));
    }

    fn file(&mut self, path: &str, about: &About, data: &[u8]) {
        self.add(b'0', path, about, "", data, Body::File { size: data.len() as u64, data: Data::Run(0) });
        let at = self.tar.0.len() - data.len().next_multiple_of(512);
        let (parent, name) = self.place(path);
        let id = self.table.child(parent, name.as_bytes()).unwrap();
        self.table.get_mut(id).body = Body::File { size: data.len() as u64, data: Data::Run(at as u64) };
    }

    fn symlink(&mut self, path: &str, about: &About, target: &str) {
        self.add(b'2', path, &About { mode: 0o777, ..about.clone() }, target, b"", Body::Symlink(target.as_bytes().into()));
    }

    fn hard_link(&mut self, path: &str, to: &str) {
        self.tar = std::mem::take(&mut self.tar).pax(&[("path", path.as_bytes()), ("linkpath", to.as_bytes())]).add(block("x", b'1'));
        let (parent, name) = self.place(to);
        let id = self.table.child(parent, name.as_bytes()).unwrap();
        let (parent, name) = self.place(path);
        self.table.link(parent, name.as_bytes(), id).unwrap();
    }
}

#[derive(Clone, Debug)]
struct About {
    mode: u32,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanoseconds: u32,
    xattrs: Vec<(String, Vec<u8>)>,
}

const PLAIN: About = About { mode: 0o644, uid: 0, gid: 0, seconds: 1_600_000_000, nanoseconds: 0, xattrs: Vec::new() };

/// Index and tar as files, and where they are.
struct Written {
    directory: tempfile::TempDir,
    index: File,
    tar: File,
}

fn written(table: &Table, tar: &[u8]) -> Written {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tar"), tar).unwrap();
    let hex = digest(tar);
    let mut index = Vec::new();
    let tar = erofs::Tar { bytes: tar.len() as u64, hex: hex.trim_start_matches("sha256:") };
    let bytes = erofs::write(table, tar, &mut index).unwrap();
    assert_eq!((bytes, bytes % 512), (index.len() as u64, 0));
    let mut again = Vec::new();
    erofs::write(table, tar, &mut again).unwrap();
    assert_eq!(index, again, "the same entries are the same bytes");
    std::fs::write(directory.path().join("index"), index).unwrap();
    let open = |name: &str| File::options().read(true).write(true).open(directory.path().join(name)).unwrap();
    let (index, tar) = (open("index"), open("tar"));
    Written { directory, index, tar }
}

/// Before 1.7 it knew no blocks but those of the machine's pages.
fn has_fsck() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        let said = Command::new("fsck.erofs").arg("-V").output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version = said.unwrap_or_default().split([' ', '\n']).find_map(|word| {
            let (major, minor) = word.split_once('.')?;
            Some((major.parse::<u32>().ok()?, minor.split('.').next()?.parse::<u32>().ok()?))
        });
        let answer = version.is_some_and(|version| version >= (1, 7));
        if !answer {
            eprintln!("not judged by fsck.erofs, which is not installed or older than 1.7");
        }
        answer
    })
}

impl Written {
    fn fsck(&self) {
        let path = |name: &str| self.directory.path().join(name).to_str().unwrap().to_owned();
        if !has_fsck() {
            return;
        }
        let output = Command::new("fsck.erofs").args([&format!("--device={}", path("tar")), "--extract", &path("index")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Mounts it; `None` where this machine cannot.
    fn mount(&self) -> Option<(OwnedFd, PathBuf)> {
        if !is_root() || !std::fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.contains("\terofs\n")) {
            eprintln!("skipped, because mounting needs root and EROFS");
            return None;
        }
        let mounted = mount(&self.index, &self.tar).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}/.", mounted.as_raw_fd()));
        Some((mounted, path))
    }
}

/// Unpacks the tar and mounts the table: both must look the same.
fn same_both_ways(both: Both) {
    let tar = both.tar.end();
    let written = written(&both.table, &tar);
    written.fsck();
    let Some((_mounted, path)) = written.mount() else { return };
    let place = Place::new();
    place.unpack_plain(vec![tar]).unwrap();
    assert_eq!(listing(&path), listing(&place.tree(0)));
}

fn capability() -> Vec<u8> {
    let mut value = vec![1, 0, 0, 2, 0, 0x20];
    value.resize(20, 0);
    value
}

#[test]
fn every_kind_of_entry_looks_as_if_unpacked() {
    let mut both = Both::default();
    let with = |name: &str, value: &[u8]| About { xattrs: vec![(name.to_owned(), value.to_vec())], ..PLAIN };
    both.dir("d", &About { mode: 0o1777, uid: 70_000, gid: 3, ..PLAIN });
    both.file("d/empty", &PLAIN, b"");
    both.file("d/one", &About { nanoseconds: 123_456_789, ..PLAIN }, b"1");
    both.file("d/block", &About { mode: 0o4755, ..PLAIN }, &[7; 512]);
    both.file("d/large", &About { seconds: -5, nanoseconds: 1, ..PLAIN }, &(0..300_001u32).map(|at| at as u8).collect::<Vec<_>>());
    both.file("d/capable", &with("security.capability", &capability()), b"x");
    both.file("d/noted", &with("user.note", &[9; 700]), b"noted");
    both.hard_link("d/second", "d/one");
    both.hard_link("third", "d/one");
    both.symlink("short", &PLAIN, "d/one");
    both.symlink("long", &PLAIN, &"x/".repeat(600));
    for length in 440..=460 {
        both.symlink(&format!("link-{length}"), &PLAIN, &"y".repeat(length));
    }
    for (flag, name, body) in [
        (b'3', "char", Body::Device { is_block: false, major: 1, minor: 300 }),
        (b'4', "block", Body::Device { is_block: true, major: 259, minor: 7 }),
        (b'6', "fifo", Body::Fifo),
    ] {
        both.add(flag, name, &About { mode: 0o600, gid: 5, ..PLAIN }, "", b"", body);
    }
    for name in ["!before-dot", ".-between", ".hidden", "..x", "ünïcode", &"n".repeat(255)] {
        both.file(name, &PLAIN, name.as_bytes());
    }
    same_both_ways(both);
}

#[test]
fn directories_of_every_fill_are_found_in() {
    for count in (0..60).chain([1000]) {
        let mut both = Both::default();
        both.dir("d", &PLAIN);
        for index in 0..count {
            both.file(&format!("d/{index}-{}", "n".repeat(index * 7 % 200)), &PLAIN, index.to_string().as_bytes());
        }
        same_both_ways(both);
    }
}

#[test]
fn a_directory_of_many_and_a_deep_one() {
    let mut table = Table::default();
    for index in 0..100_000 {
        table.put(ROOT, format!("{index:x}").as_bytes(), Inode { body: Body::Fifo, ..Inode::directory() }).unwrap();
    }
    let mut at = ROOT;
    for _ in 0..1000 {
        at = table.put(at, b"d", Inode::directory()).unwrap();
    }
    let written = written(&table, &[0; 1024]);
    written.fsck();
    let Some((_mounted, path)) = written.mount() else { return };
    // "d" is one of the numbers, whose place the directory took.
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 100_000);
    assert!(std::fs::symlink_metadata(path.join("1869f")).is_ok() && std::fs::symlink_metadata(path.join("186a0")).is_err());
    assert!(path.join("d/".repeat(1000)).is_dir());
}

#[test]
fn holes_at_blocks_are_kept_and_others_are_refused() {
    let mut both = Both::default();
    let content: Vec<u8> = (0..2560u32).map(|at| (at / 512 + 1) as u8).collect();
    both.file("packed", &PLAIN, &content);
    let at = both.tar.0.len() as u64 - 2560;
    let sparse = |extents: &[(u64, u64, u64)], size| {
        let extents = extents.iter().map(|&(offset, length, from)| Extent { offset, length, at: at + from }).collect();
        Inode { body: Body::File { size, data: Data::Sparse(extents) }, ..Inode::directory() }
    };
    both.put("sparse", sparse(&[(4096, 1024, 0), (8192, 512, 1024), (1 << 20, 700, 1536)], (1 << 20) + 700));
    both.put("hole", sparse(&[], 1 << 30));
    let tar = both.tar.clone().end();
    let written = written(&both.table, &tar);
    written.fsck();
    if let Some((_mounted, path)) = written.mount() {
        let mut expected = vec![0; (1 << 20) + 700];
        expected[4096..5120].copy_from_slice(&content[..1024]);
        expected[8192..8704].copy_from_slice(&content[1024..1536]);
        expected[1 << 20..].copy_from_slice(&content[1536..2236]);
        assert!(std::fs::read(path.join("sparse")).unwrap() == expected);
        assert_eq!(std::fs::metadata(path.join("hole")).unwrap().len(), 1 << 30);
    }
    for extents in [&[(100, 512, 0)][..], &[(512, 100, 0)], &[(512, 512, 100)]] {
        let mut table = Table::default();
        table.put(ROOT, b"f", sparse(extents, 4096)).unwrap();
        refused(&table);
    }
}

fn refused(table: &Table) {
    let mut out = Vec::new();
    let error = erofs::write(table, erofs::Tar { bytes: 1 << 20, hex: "" }, &mut out).unwrap_err();
    assert_eq!((error.kind, out.len()), (Kind::Unsupported, 0));
}

#[test]
fn what_the_format_cannot_say_is_refused_before_a_byte_is_written() {
    let file = |size, at| Inode { body: Body::File { size, data: Data::Run(at) }, ..Inode::directory() };
    let xattr = |name: &str, length: usize| Inode { xattrs: [(name.into(), vec![0; length])].into(), ..Inode::directory() };
    for inode in [
        file(1, 100),
        file(u64::MAX / 2, 0),
        xattr("system.posix_acl_access", 4),
        xattr("unknown.prefix", 4),
        xattr("user.", 4),
        xattr(&format!("user.{}", "n".repeat(256)), 1),
        xattr("user.large", 65_536),
        Inode { body: Body::Device { is_block: true, major: 4096, minor: 0 }, ..Inode::directory() },
    ] {
        let mut table = Table::default();
        table.put(ROOT, b"x", inode).unwrap();
        refused(&table);
    }
    assert!(erofs::write(&Table::default(), erofs::Tar { bytes: 1 << 41, hex: "" }, std::io::sink()).is_err());
    assert!(erofs::write(&Table::default(), erofs::Tar { bytes: 1000, hex: "" }, std::io::sink()).is_err());
    let mut table = Table::default();
    assert!(table.put(ROOT, &[b'n'; 256], Inode::directory()).is_err());
    let target = vec![b'l'; 4096];
    assert!(table.put(ROOT, b"l", Inode { body: Body::Symlink(target.into()), ..Inode::directory() }).is_err());
}

#[test]
fn whiteouts_and_opaque_directories_hide_what_lies_below() {
    let lower = Place::new();
    lower.unpack_plain(vec![Tar::default().file("gone", "x").file("kept", "x").file("d/hidden", "x").end()]).unwrap();
    let mut both = Both::default();
    both.put("gone", Inode::whiteout());
    let opaque = vec![("trusted.overlay.opaque".to_owned(), b"y".to_vec())];
    both.dir("d", &About { xattrs: opaque, ..PLAIN });
    both.file("d/new", &PLAIN, b"x");
    let written = written(&both.table, &both.tar.clone().end());
    let Some((mounted, _)) = written.mount() else { return };
    let stack = Stack::of(vec![mounted, lower.open(0)]);
    let root = stack.root().unwrap().unwrap();
    let names: Vec<_> = stack.list(&root).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["d", "kept"]);
    assert!(stack.lookup("d/new", true).unwrap().is_some());
    assert!(stack.lookup("d/hidden", true).unwrap().is_none());
}

#[test]
fn files_beyond_four_gigabytes_are_described() {
    let mut table = Table::default();
    let size = (5 << 30) + 7;
    // As a tar has it, padded to a block.
    let bytes = 512 + (5 << 30) + 512;
    table.put(ROOT, b"large", Inode { body: Body::File { size, data: Data::Run(512) }, ..Inode::directory() }).unwrap();
    let written = written(&table, &[0; 512]);
    written.tar.set_len(bytes).unwrap();
    let mut index = Vec::new();
    erofs::write(&table, erofs::Tar { bytes, hex: "" }, &mut index).unwrap();
    std::fs::write(written.directory.path().join("index"), index).unwrap();
    written.tar.write_all_at(b"the end", 512 + (5 << 30)).unwrap();
    let Some((_mounted, path)) = written.mount() else { return };
    let file = File::open(path.join("large")).unwrap();
    let mut end = [0; 7];
    file.read_exact_at(&mut end, 5 << 30).unwrap();
    assert_eq!((file.metadata().unwrap().len(), &end), (size, b"the end"));
}

#[test]
fn a_file_that_was_cut_or_is_of_another_form_is_not_mounted() {
    let whole = || written(&Table::default(), &[0; 4096]);
    check(whole().index, whole().tar).unwrap();
    let cut = whole();
    cut.tar.set_len(1024).unwrap();
    let short = whole();
    short.index.set_len(1024).unwrap();
    let longer = whole();
    (&longer.index).write_all(&vec![0; 1 << 16]).unwrap();
    for broken in [cut, short, longer] {
        assert_eq!(check(&broken.index, &broken.tar).unwrap_err().kind, Kind::Corrupt);
        assert_eq!(mount(&broken.index, &broken.tar).unwrap_err().kind, Kind::Corrupt);
    }
}

fn about() -> impl Strategy<Value = About> {
    let ids = prop_oneof![Just(0u32), 1..70_000u32];
    let seconds = prop_oneof![Just(1_600_000_000i64), -1000..2_000_000_000i64];
    let xattrs = prop::collection::btree_map("user\\.[a-z]{1,30}", prop::collection::vec(any::<u8>(), 0..200), 0..3);
    (0..0o1000u32, ids, seconds, prop_oneof![Just(0u32), 0..1_000_000_000u32], xattrs).prop_map(
        |(mode, uid, seconds, nanoseconds, xattrs)| About {
            mode,
            uid,
            gid: uid / 2,
            seconds,
            nanoseconds,
            xattrs: xattrs.into_iter().collect(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_tree_looks_as_if_unpacked(entries in prop::collection::vec((0..5u8, any::<u8>(), "[a-zA-Z0-9.!-]{1,60}", about(), 0..3000usize), 0..60)) {
        let mut both = Both::default();
        let (mut directories, mut files) = (vec![String::new()], Vec::<String>::new());
        for (kind, parent, name, about, size) in entries {
            let path = format!("{}{name}", directories[usize::from(parent) % directories.len()]);
            let (at, last) = both.place(&path);
            if both.table.child(at, last.as_bytes()).is_some() || name == "." || name == ".." || name.starts_with(".wh.") {
                continue;
            }
            match kind {
                0 => {
                    both.dir(&path, &about);
                    directories.push(format!("{path}/"));
                }
                1 => both.symlink(&path, &About { xattrs: Vec::new(), ..about }, &"t".repeat(size + 1)),
                2 if !files.is_empty() => both.hard_link(&path, &files[size % files.len()].clone()),
                _ => {
                    both.file(&path, &about, &vec![size as u8; size]);
                    files.push(path);
                }
            }
        }
        same_both_ways(both);
    }
}
