//! `cargo +nightly fuzz run extract`: any bytes, extracted over a small lower layer. Run it in a container of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stave_runner::error::Result;
use stave_runner::layer::extract::{Below, Options, extract};
use stave_runner::layer::ownership::Ownership;
use stave_runner::overlay::Stack;
use stave_runner::tar::Reader;
use std::fs::File;

struct Lower(Stack);

impl Below for Lower {
    fn any(&self) -> bool {
        true
    }

    fn stack(&self) -> Result<&Stack> {
        Ok(&self.0)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let store = tempfile::tempdir().expect("a directory");
    let at = |name: &str| store.path().join(name);
    std::fs::create_dir_all(at("lower/d")).expect("a lower tree");
    std::fs::write(at("lower/d/f"), "below").expect("a lower file");
    std::os::unix::fs::symlink("d", at("lower/l")).expect("a lower link");
    std::fs::create_dir(at("tree")).expect("a tree");
    let tree = File::open(at("tree")).expect("the tree");
    let below = Lower(Stack::of(vec![File::open(at("lower")).expect("the lower tree").into()]));
    let ownership = Ownership::here(&rustix::fs::fstat(&tree).expect("its owner")).expect("the maps");
    let options = Options { below: &below, ownership: &ownership, max_entries: 1000, max_bytes: 1 << 20, max_open: 16 };
    let _ = extract(&mut Reader::of(bytes), tree.into(), &options);
    let mut names: Vec<_> = std::fs::read_dir(store.path()).expect("the store").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["lower", "tree"]);
    assert_eq!(std::fs::read(at("lower/d/f")).expect("the lower file"), b"below");
});
