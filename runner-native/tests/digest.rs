//! Digests of selections: what counts, what does not, and the cache behind them.
#![allow(clippy::unwrap_used)] // helpers of tests

mod tree;

use serde_json::{Value, json};
use stave_runner::layer::digest::list;
use stave_runner::layer::stat_cache::StatCache;
use stave_runner::select::choose;
use stave_runner::wire::tree::{DigestSelection, Field};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use tree::Scene;

fn listing_of(scene: &Scene, extra: &Value, without: &[Field]) -> String {
    let mut selection = json!({ "from": scene.context(), "sources": ["."], "resetOwner": true });
    for (key, value) in extra.as_object().unwrap() {
        selection[key] = value.clone();
    }
    let asked: DigestSelection = serde_json::from_value(json!({ "selection": selection })).unwrap();
    let listing = list(&choose(&asked.selection).unwrap(), without, None).unwrap();
    String::from_utf8(listing.text).unwrap()
}

fn plain(scene: &Scene) -> String {
    listing_of(scene, &json!({}), &[])
}

const X: &str = "4b68ab3847feda7d6c62c1fbcbeebfa35eab7351ed5e78f4ddadea5df64b8015";

#[test]
fn a_listing_says_what_counts() {
    let scene = Scene::new(&["f 644 b X", "d 755 a", "f 755 a/x X", "l a/l ../b", "f 644 a.b X", "f 600 odd\u{e9}\\\u{1} X"], &[]);
    let expected = [
        ". d 0755 0:0 -".to_owned(),
        "a d 0755 0:0 -".to_owned(),
        "a/l l - 0:0 ../b".to_owned(),
        format!("a/x f 0755 0:0 {X}"),
        format!("a.b f 0644 0:0 {X}"),
        format!("b f 0644 0:0 {X}"),
        format!("oddé\\x5c\\x01 f 0600 0:0 {X}"),
    ];
    assert_eq!(plain(&scene).lines().collect::<Vec<_>>(), expected);
    let bare = listing_of(&scene, &json!({ "sources": ["b"] }), &[Field::Mode, Field::Owner]);
    assert_eq!(bare, format!("b f - - {X}\n"));
}

#[test]
fn several_sources_are_in_one_order_and_listed_once() {
    let scene = Scene::new(&["f 644 b X", "d 755 a", "f 644 a/x X", "f 644 a.b X"], &[]);
    let text = listing_of(&scene, &json!({ "sources": ["b", "a.b", "a", "a/x"] }), &[]);
    assert_eq!(text.lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(), ["a", "a/x", "a.b", "b"]);
}

#[test]
fn times_do_not_count_but_modes_do_unless_they_are_those_of_git() {
    let checkout = |umask: u32, mtime| {
        let scene = Scene::new(&["f 644 Dockerfile F", "d 755 src", "f 644 src/a A", "f 755 src/run R"], &[]);
        for (name, mode) in [("Dockerfile", 0o666), ("src", 0o777), ("src/a", 0o666), ("src/run", 0o777)] {
            fs::set_permissions(scene.path("context").join(name), fs::Permissions::from_mode(mode & !umask)).unwrap();
        }
        scene.set_mtime(&scene.path("context/src/a"), mtime);
        scene
    };
    let as_git = |scene: &Scene| listing_of(scene, &json!({ "sources": ["."], "modes": "git" }), &[]);
    let usual = checkout(0o022, 1000);
    assert_eq!(plain(&checkout(0o022, 2000)), plain(&usual));
    for umask in [0o002, 0o007, 0o027, 0o077, 0o000] {
        assert_ne!(plain(&checkout(umask, 1000)), plain(&usual), "umask {umask:o}");
        assert_eq!(as_git(&checkout(umask, 2000)), as_git(&usual), "umask {umask:o}");
    }
    let scene = checkout(0o022, 1000);
    fs::set_permissions(scene.path("context/src/a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_ne!(plain(&scene), plain(&usual));
    assert_eq!(as_git(&scene), as_git(&usual));
    fs::set_permissions(scene.path("context/src/a"), fs::Permissions::from_mode(0o711)).unwrap();
    assert_ne!(as_git(&scene), as_git(&usual));
}

#[test]
fn the_cache_answers_for_what_rests_and_notices_every_change() {
    let scene = Scene::new(&["f 644 a A", "f 644 b B"], &[]);
    fs::create_dir(scene.path("cache")).unwrap();
    let digest = || {
        let asked: DigestSelection =
            serde_json::from_value(json!({ "selection": { "from": scene.context(), "sources": ["."], "resetOwner": true } })).unwrap();
        let chosen = choose(&asked.selection).unwrap();
        let mut cache = StatCache::open(File::open(scene.path("cache")).unwrap().into(), chosen.stack.layers()[0].as_fd()).unwrap();
        let known = chosen.matches[0].nodes.iter().filter(|node| cache.lookup(node).is_some()).count();
        let text = list(&chosen, &[], Some(&mut cache)).unwrap().text;
        cache.save();
        (known, String::from_utf8(text).unwrap())
    };
    // Just written: not to be trusted, and so not remembered.
    let (_, fresh) = digest();
    assert_eq!(digest().0, 0);
    std::thread::sleep(std::time::Duration::from_millis(3100));
    assert_eq!(digest(), (0, fresh.clone()));
    assert_eq!(digest(), (2, fresh.clone()));
    // The same size and the same time: only the ctime tells.
    let before = fs::metadata(scene.path("context/a")).unwrap().modified().unwrap();
    fs::write(scene.path("context/a"), "Z").unwrap();
    File::open(scene.path("context/a")).unwrap().set_modified(before).unwrap();
    let (known, changed) = digest();
    assert_eq!(known, 1);
    assert_ne!(changed, fresh);
    // A damaged cache is an empty one.
    let file = fs::read_dir(scene.path("cache")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "damaged").unwrap();
    assert_eq!(digest(), (0, changed));
}

#[test]
fn a_cache_merges_what_different_selections_learn() {
    let scene = Scene::new(&["f 644 a A", "f 644 b B", "f 644 c C"], &[]);
    fs::create_dir(scene.path("cache")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(3100));
    let known = |source: &str| {
        let asked: DigestSelection =
            serde_json::from_value(json!({ "selection": { "from": scene.context(), "sources": [source], "resetOwner": true } })).unwrap();
        let chosen = choose(&asked.selection).unwrap();
        let mut cache = StatCache::open(File::open(scene.path("cache")).unwrap().into(), chosen.stack.layers()[0].as_fd()).unwrap();
        let known = chosen.matches[0].nodes.iter().filter(|node| cache.lookup(node).is_some()).count();
        list(&chosen, &[], Some(&mut cache)).unwrap();
        cache.save();
        known
    };
    assert_eq!((known("c"), known("a"), known("b")), (0, 0, 0));
    assert_eq!((known("a"), known("b"), known("c"), known(".")), (1, 1, 1, 3));
}
