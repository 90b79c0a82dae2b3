//! Layers that try something. Each is named after its trick; nothing outside the tree may change, and what is left of
//! the tree can be removed.
#![allow(clippy::format_collect, clippy::unwrap_used)]

mod layers;

use layers::{Blob, Place, Tar, block, digest, gzip, is_root, listing};
use rustix::fd::AsFd;
use stave_runner::error::Kind;
use stave_runner::wire::layer::Compression;
use std::path::Path;

/// A directory of the host with something in it that a layer might reach for.
struct Canary {
    directory: tempfile::TempDir,
    before: Vec<String>,
}

impl Canary {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "untouched").unwrap();
        std::fs::create_dir(directory.path().join("inner")).unwrap();
        let before = listing(directory.path());
        Self { directory, before }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn check(&self, case: &str) {
        assert_eq!(listing(self.directory.path()), self.before, "{case} changed something outside");
    }
}

fn remove(place: &Place) {
    let parent = std::fs::File::open(place.directory.path()).unwrap();
    stave_runner::layer::remove::clear(parent.as_fd()).unwrap();
    assert_eq!(std::fs::read_dir(place.directory.path()).unwrap().count(), 0);
}

fn zeros(count: usize) -> String {
    "\0".repeat(count)
}

/// Name, layer, and the failure that it must end in.
#[expect(clippy::too_many_lines, reason = "a table")]
fn refused(canary: &Canary) -> Vec<(&'static str, Vec<u8>, Kind)> {
    let base = || Tar::default();
    let secret = canary.path("secret");

    let pax_file = |records: &[(&str, &[u8])]| base().pax(records).file("file", "data").end();
    vec![
        ("dot-dot", base().file("../secret", "changed").end(), Kind::Escape),
        ("dot-dot-inside", base().file("a/../../secret", "changed").end(), Kind::Escape),
        ("dot-dot-directory", base().dir("..").end(), Kind::Escape),
        ("dot-dot-by-pax", pax_file(&[("path", b"x/../../secret")]), Kind::Escape),
        ("name-with-nul", pax_file(&[("path", b"a\0b")]), Kind::Corrupt),
        ("root-as-file", base().file("./", "data").end(), Kind::Corrupt),
        ("long-component", pax_file(&[("path", "x".repeat(300).as_bytes())]), Kind::TooLarge),
        ("long-name", pax_file(&[("path", "a/".repeat(5000).as_bytes())]), Kind::TooLarge),
        ("hard-link-to-absolute", base().hard_link("x", &secret).end(), Kind::Corrupt),
        ("hard-link-to-dot-dot", base().hard_link("x", "../../../../../../etc/passwd").end(), Kind::Escape),
        ("hard-link-through-symlink", base().symlink("d", &canary.path("")).hard_link("x", "d/secret").end(), Kind::Corrupt),
        ("hard-link-to-missing", base().hard_link("x", "missing").end(), Kind::Corrupt),
        ("hard-link-to-itself", base().file("x", "data").hard_link("x", "x").end(), Kind::Corrupt),
        ("hard-link-to-directory", base().dir("d").hard_link("x", "d").end(), Kind::Corrupt),
        ("hard-link-to-nothing", base().hard_link("x", "").end(), Kind::Corrupt),
        ("symlink-to-nothing", base().symlink("x", "").end(), Kind::Corrupt),
        ("symlink-loop", base().symlink("a", "b").symlink("b", "a").file("a/x", "").end(), Kind::Corrupt),
        ("symlink-to-itself", base().symlink("a", "a").file("a/x", "").end(), Kind::Corrupt),
        ("file-as-parent", base().file("a", "").file("a/b", "").end(), Kind::Corrupt),
        ("fifo-as-parent", base().add(block("a", b'6')).file("a/b", "").end(), Kind::Corrupt),
        ("whiteout-of-dot-dot", base().file("a/.wh...", "").end(), Kind::Escape),
        ("whiteout-of-dot", base().file("a/.wh..", "").end(), Kind::Escape),
        ("whiteout-of-nothing", base().file("a/.wh.", "").end(), Kind::Corrupt),
        ("whiteout-as-symlink", base().symlink(".wh.a", &secret).end(), Kind::Corrupt),
        ("opaque-as-symlink", base().symlink("a/.wh..wh..opq", &secret).end(), Kind::Corrupt),
        ("uid-beyond-32-bits", pax_file(&[("uid", b"4294967296")]), Kind::Corrupt),
        ("uid-minus-one", pax_file(&[("uid", b"4294967295")]), Kind::Corrupt),
        ("negative-uid", base().add(block("x", b'0').field(108, &[0xff; 8])).end(), Kind::Corrupt),
        ("negative-size", base().add(block("x", b'0').field(124, &[0xff; 12])).end(), Kind::Corrupt),
        ("size-beyond-64-bits", base().add(block("x", b'0').field(124, b"\x80\x01\0\0\0\0\0\0\0\0\0\0")).end(), Kind::Corrupt),
        ("size-beyond-the-end", base().add(block("x", b'0').field(124, b"\x80\0\0\0\0\0\x02\0\0\0\0\0")).end(), Kind::TooLarge),
        ("size-a-little-beyond-the-end", base().add(block("x", b'0').size(9999)).end(), Kind::Corrupt),
        ("pax-size-beyond-63-bits", pax_file(&[("size", b"9223372036854775808")]), Kind::Corrupt),
        ("pax-size-not-a-number", pax_file(&[("size", b"0x10")]), Kind::Corrupt),
        ("pax-size-negative", pax_file(&[("size", b"-1")]), Kind::Corrupt),
        ("pax-header-of-a-gigabyte", base().add(block("p", b'x').size(1 << 30)).end(), Kind::TooLarge),
        ("long-name-of-a-gigabyte", base().add(block("p", b'L').size(1 << 30)).end(), Kind::TooLarge),
        ("pax-record-too-long", base().add(block("p", b'x').data("99 path=x\n")).file("x", "").end(), Kind::Corrupt),
        ("pax-record-too-short", base().add(block("p", b'x').data("5 path=x\n")).file("x", "").end(), Kind::Corrupt),
        ("pax-header-without-member", base().pax(&[("path", b"x")]).end(), Kind::Corrupt),
        ("global-header-names-all", base().add(block("g", b'g').data("10 path=x\n")).file("y", "").end(), Kind::Corrupt),
        (
            "ten-thousand-xattrs",
            base()
                .add(block("p", b'x').data((0..10_000).map(|n| format!("29 SCHILY.xattr.user.a{n:05}=\n")).collect::<String>()))
                .file("x", "")
                .end(),
            Kind::Corrupt,
        ),
        ("checksum", base().file("x", "").raw(&[b'x'; 512]).end(), Kind::Corrupt),
        ("no-tar-at-all", b"#!/bin/sh\necho hello\n".repeat(100), Kind::Corrupt),
        ("cut-off-in-a-header", base().file("x", "").0[..300].to_vec(), Kind::Corrupt),
        ("cut-off-in-data", base().file("x", &zeros(3000)).0[..1024].to_vec(), Kind::Corrupt),
        ("one-zero-block-then-more", base().raw(&[0; 512]).file("x", "").end(), Kind::Corrupt),
        ("unknown-type", base().add(block("x", b'M')).end(), Kind::Unsupported),
        (
            "sparse-overlapping",
            pax_file(&[("GNU.sparse.size", b"100"), ("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", b"0,3,2,1")]),
            Kind::Corrupt,
        ),
        (
            "sparse-beyond-its-size",
            pax_file(&[("GNU.sparse.size", b"10"), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"8,4")]),
            Kind::Corrupt,
        ),
        ("sparse-overflow", pax_file(&[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"18446744073709551615,4")]), Kind::Corrupt),
        ("sparse-of-other-length", pax_file(&[("GNU.sparse.size", b"100"), ("GNU.sparse.map", b"0,5")]), Kind::Corrupt),
        ("sparse-odd-map", pax_file(&[("GNU.sparse.size", b"100"), ("GNU.sparse.map", b"0,4,9")]), Kind::Corrupt),
        ("sparse-hole-of-8-EiB", pax_file(&[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,4")]), Kind::TooLarge),
        (
            "sparse-map-never-ends",
            base()
                .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9"), ("GNU.sparse.name", b"x")])
                .add(block("y", b'0').data("1048577\n".repeat(100)))
                .end(),
            Kind::Corrupt,
        ),
        (
            "sparse-of-the-future",
            pax_file(&[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")]),
            Kind::Unsupported,
        ),
    ]
}

#[test]
fn every_trick_is_refused_and_touches_nothing_outside() {
    let canary = Canary::new();
    for (case, tar, kind) in refused(&canary) {
        let place = Place::new();
        match place.unpack_plain(vec![tar]) {
            Ok(_) => panic!("{case} was unpacked: {:?}", listing(&place.tree(0))),
            Err(error) => assert_eq!(error.kind, kind, "{case}: {error}"),
        }
        canary.check(case);
        remove(&place);
    }
}

/// The same as the second layer of two, where there is something below to hide and to link to.
#[test]
fn every_trick_is_refused_above_another_layer() {
    let canary = Canary::new();
    for (case, tar, kind) in refused(&canary) {
        let place = Place::new();
        let below = Tar::default().dir("a").file("a/b", "below").file("file", "below").end();
        match place.unpack_plain(vec![below, tar]) {
            Ok(_) => panic!("{case} was unpacked"),
            Err(error) => assert_eq!(error.kind, kind, "{case}: {error}"),
        }
        canary.check(case);
        remove(&place);
    }
}

/// Names, layers, and the whole listing of paths that must come of them.
#[test]
fn what_looks_like_a_trick_stays_inside() {
    let canary = Canary::new();
    let outside = canary.path("");
    let inside = |name: &str| format!("{}/{name}", outside.trim_matches('/'));
    let base = || Tar::default();
    let cases: Vec<(&str, Vec<u8>, Vec<String>)> = vec![
        ("absolute-name", base().file(&canary.path("secret"), "changed").end(), vec![inside("secret")]),
        ("absolute-name-through-a-link", base().symlink("l", &outside).file("/l/secret", "x").end(), vec!["l".into(), inside("secret")]),
        ("absolute-root-and-directory", base().dir("/").dir("/b/").file("/b/c", "x").end(), vec!["b".into(), "b/c".into()]),
        ("hard-link-to-absolute-inside", base().file("/b/c", "x").hard_link("/d", "/b/c").end(), vec!["b/c".into(), "d".into()]),
        ("absolute-whiteout", base().file("/.wh.etc", "").file("x", "").end(), vec!["x".into()]),
        ("dot-dot-that-stays-inside", base().file("a/../b", "").file("/a/./../c", "").end(), vec!["b".into(), "c".into()]),
        ("dot-dot-to-the-root", base().dir("a/..").file("x", "").end(), vec!["x".into()]),
        ("no-name", base().file("", "").dir("").file("x", "").end(), vec!["x".into()]),
        ("whiteout-as-directory", base().dir(".wh.a").file(".wh.a/b", "").file("x", "").end(), vec!["x".into()]),
        ("opaque-as-directory", base().dir("a/.wh..wh..opq").file("a/.wh..wh..opq/b", "").file("a/x", "").end(), vec!["a/x".into()]),
        ("symlink-then-file-through-it", base().symlink("l", &outside).file("l/secret", "x").end(), vec!["l".into(), inside("secret")]),
        ("symlink-up-then-file", base().symlink("l", "../../../..").file("l/x", "x").end(), vec!["l".into(), "x".into()]),
        (
            "symlink-then-directory-in-its-place",
            base().symlink("l", &outside).dir("l").file("l/secret", "x").end(),
            vec!["l".into(), "l/secret".into()],
        ),
        ("symlink-then-file-in-its-place", base().symlink("l", &canary.path("secret")).file("l", "x").end(), vec!["l".into()]),
        (
            "hard-link-to-symlink-then-file",
            base().symlink("l", &canary.path("secret")).hard_link("h", "l").file("h", "x").end(),
            vec!["h".into(), "l".into()],
        ),
        ("file-then-directory", base().file("a", "x").dir("a").file("a/b", "").end(), vec!["a".into(), "a/b".into()]),
        ("directory-then-file", base().file("a/b/c", "x").file("a", "").end(), vec!["a".into()]),
        (
            "directory-then-file-then-directory",
            base().file("a/b", "x").file("a", "").file("a/../a/x", "").0[..2048].to_vec(),
            vec!["a".into()],
        ),
        ("fifo-then-file", base().add(block("p", b'6')).file("p", "x").end(), vec!["p".into()]),
        ("odd-slashes", base().file("./a//b/./c", "x").dir("a/b/./").end(), vec!["a".into(), "a/b".into(), "a/b/c".into()]),
        ("whiteout-at-the-bottom", base().file(".wh.x", "").file("a/.wh..wh..opq", "").end(), vec!["a".into()]),
        ("aufs-bookkeeping", base().file(".wh..wh.aufs", "").file(".wh..wh.plnk/1.2", "").file("a", "").end(), vec!["a".into()]),
        ("character-device-0-0", base().add(block("x", b'3').device(0, 0)).file("y", "").end(), vec!["y".into()]),
        ("garbage-after-the-end", base().file("a", "").raw(&[0; 1024]).raw(b"garbage").0, vec!["a".into()]),
        ("no-end", base().file("a", "").0, vec!["a".into()]),
        ("nothing", Vec::new(), vec![]),
    ];
    for (case, tar, expected) in cases {
        let place = Place::new();
        let outcome = place.unpack_plain(vec![tar]);
        canary.check(case);
        if case == "directory-then-file-then-directory" {
            assert_eq!(outcome.err().unwrap().kind, Kind::Corrupt);
            continue;
        }
        outcome.unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut names: Vec<String> = walk(&place.tree(0));
        // Directories that only lead to what is expected.
        names.retain(|name| !expected.iter().any(|path| path.starts_with(&format!("{name}/"))) || expected.contains(name));
        assert_eq!(names, expected, "{case}");
        remove(&place);
    }
}

fn walk(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.symlink_metadata().unwrap().is_dir() {
                todo.push(path);
            }
        }
    }
    names.sort();
    names
}

#[test]
fn a_member_inside_a_members_data_is_data() {
    // The header says 0 bytes, pax says 1,024: who believes the header takes the data for a member (CVE-2025-62518).
    let smuggled = Tar::default().file("smuggled", "x").0;
    let tar = Tar::default()
        .pax(&[("size", smuggled.len().to_string().as_bytes())])
        .add(block("file", b'0').size(0))
        .raw(&smuggled)
        .file("after", "")
        .end();
    let place = Place::new();
    place.unpack_plain(vec![tar]).unwrap();
    assert_eq!(walk(&place.tree(0)), ["after", "file"]);
    assert_eq!(std::fs::read(place.tree(0).join("file")).unwrap(), smuggled);
}

#[test]
fn overlay_attributes_are_left_out_and_said() {
    let records: &[(&str, &[u8])] =
        &[("SCHILY.xattr.trusted.overlay.opaque", b"y"), ("SCHILY.xattr.user.overlay.redirect", b"/etc"), ("SCHILY.xattr.user.fine", b"1")];
    let place = Place::new();
    place.unpack_plain(vec![Tar::default().pax(records).dir("a").end()]).unwrap();
    let lines = listing(&place.tree(0));
    assert!(!lines[0].contains("overlay"), "{lines:?}");
    assert!(lines[0].contains("user.fine"), "{lines:?}");
    assert_eq!(place.warnings().iter().filter(|text| text.contains("overlay")).count(), 2);
}

#[test]
fn bounds_hold() {
    let place = |limits, tar: Vec<u8>| Place::new().unpack(vec![Blob::plain(tar)], limits).map(drop).map_err(|error| error.kind);
    let files = |count: usize| (0..count).fold(Tar::default(), |tar, index| tar.file(&format!("f{index}"), "0123456789")).end();
    assert_eq!(place((None, Some(9)), files(10)), Err(Kind::TooLarge));
    assert_eq!(place((None, Some(10)), files(10)), Ok(()));
    // Directories that are only implied count too.
    assert_eq!(place((None, Some(10)), Tar::default().file("a/a/a/a/a/a/a/a/a/a/a/a/a", "").end()), Err(Kind::TooLarge));
    assert_eq!(place((Some(20_000), None), files(10)), Ok(()));
    assert_eq!(place((Some(5_000), None), files(10)), Err(Kind::TooLarge));
    // A small blob, whatever its own headers say.
    let bomb = gzip(&vec![0; 64 << 20]);
    let blob = Blob { compression: Compression::Gzip, ..Blob::plain(bomb) };
    let error = Place::new().unpack(vec![blob], (Some(1 << 20), None)).err().unwrap();
    assert_eq!(error.kind, Kind::TooLarge);
}

#[test]
fn blobs_are_what_they_must_be() {
    // One that is read as a stream, and one that is large enough to be inflated at once.
    let noise: String = (0..200_000u32).map(|at| char::from(b' ' + (at.wrapping_mul(2_654_435_761) >> 20) as u8 % 90)).collect();
    for content in ["content", &noise] {
        blobs_of(&Tar::default().file("a", content).end());
    }
}

fn blobs_of(tar: &[u8]) {
    let other = digest(b"other");
    let right = Some(digest(tar));
    let blob = || Blob { compression: Compression::Gzip, diff_id: right.clone(), ..Blob::plain(gzip(tar)) };
    let run = |blob| Place::new().unpack(vec![blob], (None, None)).map(drop).map_err(|error| error.kind);
    assert_eq!(run(blob()), Ok(()));
    assert_eq!(run(Blob { diff_id: None, ..blob() }), Ok(()));
    assert_eq!(run(Blob { digest: Some(other.clone()), ..blob() }), Err(Kind::DigestMismatch));
    assert_eq!(run(Blob { diff_id: Some(other), ..blob() }), Err(Kind::DigestMismatch));
    assert_eq!(run(Blob { size: Some(7), ..blob() }), Err(Kind::SizeMismatch));
    // A flipped bit is reported as what it is, not as what it did to the tar.
    let mut flipped = blob();
    flipped.digest = Some(digest(&flipped.bytes));
    let middle = flipped.bytes.len() / 2;
    flipped.bytes[middle] ^= 0x10;
    assert_eq!(run(flipped), Err(Kind::DigestMismatch));
    // Damaged before it was named.
    let mut damaged = blob();
    damaged.bytes[middle] ^= 0x10;
    assert_eq!(run(damaged), Err(Kind::Corrupt));
    let mut cut = blob();
    cut.bytes.truncate(middle);
    assert_eq!(run(cut), Err(Kind::Corrupt));
    let mut garbage = blob();
    garbage.bytes.extend_from_slice(b"garbage after the gzip member");
    assert_eq!(run(garbage), Err(Kind::Corrupt));
    // Several members are one stream (RFC 1952), and so are several frames.
    let (first, second) = tar.split_at(700);
    let bytes = [gzip(first), gzip(b""), gzip(second)].concat();
    assert_eq!(run(Blob { bytes, ..blob() }), Ok(()));
    // The first alone would be what was promised.
    let bytes = [gzip(tar), gzip(first)].concat();
    assert_eq!(run(Blob { bytes, ..blob() }), Err(Kind::DigestMismatch));
    // A member that lies about its length.
    let mut lying = blob();
    let end = lying.bytes.len();
    lying.bytes[end - 2] ^= 1;
    assert_eq!(run(lying), Err(Kind::Corrupt));
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec();
    let bytes = [skippable, zstd::encode_all(first, 3).unwrap(), zstd::encode_all(second, 3).unwrap()].concat();
    assert_eq!(run(Blob { bytes, compression: Compression::Zstd, ..blob() }), Ok(()));
    // A window of 2 GiB.
    let huge = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8][..], &[1, 0, 0]].concat();
    assert_eq!(run(Blob { bytes: huge, compression: Compression::Zstd, ..blob() }), Err(Kind::Corrupt));
    assert_eq!(run(Blob { bytes: tar.to_owned(), ..blob() }), Err(Kind::Corrupt));
}

#[test]
fn a_failed_layer_is_the_one_that_is_reported() {
    let good = |index: usize| Tar::default().file(&format!("d{index}/f"), &zeros(100_000)).end();
    let bad = Tar::default().file("../x", "").end();
    let error = Place::new().unpack_plain(vec![good(0), good(1), bad.clone(), good(3)]).err().unwrap();
    assert_eq!(error.kind, Kind::Escape);
    assert!(error.message.contains(&digest(&bad)), "{error}");
}

#[test]
fn devices_are_made_by_root_only() {
    let tar = Tar::default().add(block("null", b'3').device(1, 3).mode(0o666)).add(block("disk", b'4').device(8, 1)).file("x", "").end();
    let place = Place::new();
    place.unpack_plain(vec![tar]).unwrap();
    if is_root() && walk(&place.tree(0)) == ["disk", "null", "x"] {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(place.tree(0).join("null")).unwrap();
        assert_eq!((meta.mode(), meta.rdev()), (0o020_666, rustix::fs::makedev(1, 3)));
    } else {
        assert_eq!(walk(&place.tree(0)), ["x"]);
        assert!(place.warnings().iter().any(|text| text.contains("device")));
    }
}

#[test]
fn deep_trees_can_be_made_and_removed() {
    let deep = "d/".repeat(2000);
    let tar = Tar::default().pax(&[("path", deep.as_bytes())]).dir("x").end();
    let place = Place::new();
    assert_eq!(place.unpack_plain(vec![tar]).unwrap()[0].entries, 2000);
    remove(&place);
}
