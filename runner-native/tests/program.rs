//! The program itself: requests on descriptor 3, answers on 4, as root and in a user namespace.
#![allow(clippy::unwrap_used)]

mod layers;

use layers::{Tar, block, digest, is_root};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program is started by, word by word.
const DIRECTLY: &[&str] = &["env"];
const MAPPED: &[&str] = &["unshare", "--user", "--map-users=0:100000:65536", "--map-groups=0:100000:65536", "--setuid=0", "--setgid=0"];
const SINGLE: &[&str] = &["unshare", "--user", "--map-root-user"];

/// Runs a verb over `store` (descriptor 5), and gives its events.
fn run(start: &[&str], store: &Path, mut request: Value) -> Vec<Value> {
    let verb = request["verb"].as_str().unwrap().to_owned();
    request["version"] = json!(1);
    let mut child = Command::new(start[0])
        .args(&start[1..])
        .args(["sh", "-c", "exec \"$0\" \"$1\" 3<&0 4>&1 5<\"$2\" </dev/null >/dev/null", env!("CARGO_BIN_EXE_stave-runner"), &verb])
        .arg(store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lifeline = child.stdin.take().unwrap();
    lifeline.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    drop(lifeline);
    let status = child.wait().unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap_or_else(|| panic!("no answer from {start:?}"));
    assert_eq!(status.success(), last["event"] == "result", "{text}");
    events
}

fn can(start: &[&str]) -> bool {
    let possible = Command::new(start[0]).args(&start[1..]).arg("true").output().is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("skipped, because this machine does not let us {start:?}");
    }
    possible
}

/// A store that belongs to whoever will be root in there.
fn store(start: &[&str]) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    std::fs::set_permissions(store.path(), PermissionsExt::from_mode(0o755)).unwrap();
    if start == MAPPED {
        std::os::unix::fs::chown(store.path(), Some(100_000), Some(100_000)).unwrap();
    }
    store
}

fn put(store: &Path, number: usize, tar: &[u8]) -> Value {
    let into = store.join(number.to_string());
    std::fs::create_dir(&into).unwrap();
    let meta = std::fs::metadata(store).unwrap();
    std::os::unix::fs::chown(&into, Some(meta.uid()), Some(meta.gid())).unwrap();
    std::fs::write(store.join(format!("{number}.tar")), tar).unwrap();
    json!({
        "blob": { "fd": 5, "path": format!("{number}.tar") },
        "compression": "none",
        "digest": digest(tar),
        "size": tar.len(),
        "into": { "fd": 5, "path": number.to_string() },
    })
}

fn owned(name: &str, uid: u64, gid: u64) -> layers::Block {
    block(name, b'0').owner(uid, gid)
}

#[test]
fn unpack_read_and_remove() {
    for start in [DIRECTLY, MAPPED, SINGLE] {
        if (start == MAPPED && !is_root()) || !can(start) {
            continue;
        }
        let store = store(start);
        let below = Tar::default()
            .add(owned("etc/passwd", 0, 0).data("root:x:0:0\n"))
            .add(owned("own", if is_root() { 33 } else { 0 }, 0).mode(0o4755).data("x"))
            .add(block("gone/secret", b'0').owner(0, 0).data("x").mode(0))
            .symlink("link", "/etc");
        let above = Tar::default().add(owned("gone/.wh..wh..opq", 0, 0)).add(owned(".wh.own", 0, 0));
        if start == DIRECTLY && !is_root() {
            continue;
        }
        let layers = json!([put(store.path(), 0, &below.end()), put(store.path(), 1, &above.end())]);
        let events = run(start, store.path(), json!({ "verb": "unpack", "lowers": [], "layers": layers }));
        let last = events.last().unwrap();
        assert_eq!(last["event"], "result", "{start:?}: {last}");
        // Four members, and the two directories that they imply.
        assert_eq!(last["layers"][0]["entries"], 6);
        let own = std::fs::metadata(store.path().join("0/fs/own")).unwrap();
        if start == MAPPED {
            assert_eq!((own.uid(), own.mode() & 0o7777), (100_033, 0o4755));
        } else if start == SINGLE {
            assert!(events.iter().any(|event| event["event"] == "warning"));
            assert_eq!(own.uid(), rustix::process::geteuid().as_raw());
        } else {
            assert_eq!((own.uid(), own.mode() & 0o7777), (33, 0o4755));
        }
        let whiteout = std::fs::symlink_metadata(store.path().join("1/fs/own")).unwrap();
        assert_eq!((whiteout.mode() & 0o170_000, whiteout.rdev()), (0o020_000, 0));
        // Through a link of the lower layer, past an opaque directory, and not what a whiteout hides.
        let from = json!({ "kind": "lowers", "lowers": [{ "fd": 5, "path": "1/fs" }, { "fd": 5, "path": "0/fs" }] });
        let read = json!({ "verb": "read", "from": from, "paths": ["/link/passwd", "own", "gone/secret", "etc/*"], "maxBytes": 100 });
        let events = run(start, store.path(), read);
        let files = events.last().unwrap()["files"].as_array().unwrap().clone();
        let names: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
        assert_eq!(names, ["/link/passwd", "etc/passwd"], "{start:?}");
        assert_eq!(files[0]["base64"], "cm9vdDp4OjA6MAo=");
        let small = json!({ "verb": "read", "from": from, "paths": ["etc/passwd"], "maxBytes": 5 });
        assert_eq!(run(start, store.path(), small).last().unwrap()["kind"], "too-large");
        // Twice: what is not there is no error.
        for _ in 0..2 {
            let remove =
                json!({ "verb": "remove", "trees": [{ "fd": 5, "path": "0" }, { "fd": 5, "path": "1" }, { "fd": 5, "path": "no/such" }] });
            assert_eq!(run(start, store.path(), remove).last().unwrap()["event"], "result", "{start:?}");
        }
        assert!(!store.path().join("0").exists() && !store.path().join("1").exists());
    }
}

#[test]
fn an_owner_who_does_not_exist_here_is_named_with_the_remedy() {
    if !is_root() || !can(MAPPED) {
        return;
    }
    let store = store(MAPPED);
    let layers = json!([put(store.path(), 0, &Tar::default().add(owned("far", 70_000, 0)).end())]);
    let events = run(MAPPED, store.path(), json!({ "verb": "unpack", "lowers": [], "layers": layers }));
    let failure = events.last().unwrap();
    assert_eq!((failure["kind"].as_str(), failure["path"].as_str()), (Some("permission"), Some("far")));
    assert!(failure["message"].as_str().unwrap().contains("uid 70000"));
    assert!(failure["hint"].as_str().unwrap().contains("/etc/subuid"));
}

#[test]
fn places_are_never_reached_through_links() {
    let store = store(DIRECTLY);
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("keep")).unwrap();
    std::os::unix::fs::symlink(other.path(), store.path().join("link")).unwrap();
    for (path, kind) in [("link/keep", "escape"), ("../x", "escape"), ("/etc", "escape")] {
        let events = run(DIRECTLY, store.path(), json!({ "verb": "remove", "trees": [{ "fd": 5, "path": path }] }));
        assert_eq!(events.last().unwrap()["kind"], kind, "{path}");
    }
    // The link itself is a name like any other.
    run(DIRECTLY, store.path(), json!({ "verb": "remove", "trees": [{ "fd": 5, "path": "link" }] }));
    assert!(other.path().join("keep").exists() && !store.path().join("link").exists());
}

#[test]
fn mount_points_are_not_crossed() {
    if !is_root() {
        eprintln!("skipped, because only root can mount here");
        return;
    }
    let store = store(DIRECTLY);
    let target = store.path().join("tree/deep/mounted");
    std::fs::create_dir_all(&target).unwrap();
    if !Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&target).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped, because nothing can be mounted here");
        return;
    }
    std::fs::write(target.join("kept"), "").unwrap();
    let events = run(DIRECTLY, store.path(), json!({ "verb": "remove", "trees": [{ "fd": 5, "path": "tree" }] }));
    let kept = target.join("kept").exists();
    assert!(Command::new("umount").arg(&target).status().unwrap().success());
    assert!(kept);
    assert_eq!(events.last().unwrap()["kind"], "state");
    assert!(events.last().unwrap()["message"].as_str().unwrap().contains("mount point"));
}

#[test]
fn files_that_are_too_large_together_are_no_answer() {
    let store = tempfile::tempdir().unwrap();
    let tree = store.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let half = stave_runner::limit::ANSWER / 2;
    let read = |more: u64| {
        for (name, size) in [("a", half), ("b", half + more)] {
            std::fs::File::create(tree.join(name)).unwrap().set_len(size).unwrap();
        }
        let from = json!({ "kind": "directory", "root": { "fd": 5, "path": "tree" } });
        run(DIRECTLY, store.path(), json!({ "verb": "read", "from": from, "paths": ["*"], "maxBytes": half + 1 })).pop().unwrap()
    };
    assert_eq!(read(0)["event"], "result");
    assert_eq!(read(1)["kind"], "too-large");
}
