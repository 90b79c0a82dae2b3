//! Small trees for tests: made from a line an entry, and listed the same way.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::unused_self)] // each test program uses its own part

#[path = "../machine/mod.rs"]
mod machine;

pub use machine::{can_mount, is_root};
use serde_json::{Value, json};
use stave_runner::error::Error;
use stave_runner::wire::event::Events;
use stave_runner::wire::layer::TreeForm;
use stave_runner::wire::place::Place as HostPlace;
use stave_runner::wire::tree::{Copy, CopyResult};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary directory with a context, the layers of a base, and what is made.
pub struct Scene {
    directory: tempfile::TempDir,
    layers: usize,
}

impl Scene {
    /// `layers`: the lowest first.
    pub fn new(context: &[&str], layers: &[&[&str]]) -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap(), layers: layers.len() };
        build(&scene.path("context"), context);
        for (index, layer) in layers.iter().enumerate() {
            build(&scene.base(index), layer);
        }
        fs::create_dir(scene.path("snapshot")).unwrap();
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A layer of the base, the lowest is 0.
    pub fn base(&self, index: usize) -> PathBuf {
        self.path(&format!("layer{index}"))
    }

    pub fn tree(&self) -> PathBuf {
        self.path("snapshot/fs")
    }

    /// An open descriptor, for a request. It stays open: the test program ends soon.
    pub fn place(&self, name: &str) -> Value {
        json!({ "fd": open(&self.path(name)) })
    }

    pub fn context(&self) -> Value {
        json!({ "kind": "directory", "root": self.place("context") })
    }

    pub fn context_file(&self, name: &str) -> Value {
        json!({ "fd": open(&self.path("context")), "path": name })
    }

    /// The layers of the base as the runner wants them: top first.
    pub fn lowers(&self) -> Value {
        (0..self.layers).rev().map(|index| self.place(&format!("layer{index}"))).collect()
    }

    /// Makes tree and layer. Where layers can be mounted, the tree is also made as tar and index, which must look the same.
    pub fn copy(&self, mut request: Value) -> Result<CopyResult, Error> {
        request["tree"] = self.place("snapshot");
        let made = self.copy_layer(request.clone(), "none")?;
        assert_eq!(made.tree.as_ref().unwrap().form, TreeForm::Tree);
        if can_mount() {
            for compression in ["none", "gzip"] {
                self.copy_indexed(request.clone(), compression);
            }
        }
        Ok(made)
    }

    /// Makes tar and index, or a tree if they cannot say it: compares what is seen with what [`Scene::copy`] has made.
    fn copy_indexed(&self, mut request: Value, compression: &str) {
        let name = format!("indexed-{compression}");
        fs::create_dir(self.path(&name)).unwrap();
        request["tree"] = self.place(&name);
        request["form"] = json!("index");
        let made = self.copy_into(request, &format!("{name}.blob"), compression).unwrap();
        let tree = made.tree.unwrap();
        let files = || fs::read_dir(self.path(&name)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(files().count(), if tree.form == TreeForm::Index { 2 } else { 1 }, "{:?}", files().collect::<Vec<_>>());
        assert_eq!(tree.why.is_none(), tree.form == TreeForm::Index);
        let place = HostPlace { fd: open(self.directory.path()), path: Some(format!("{name}/fs")) };
        let root = stave_runner::tree::open(&place, rustix::fs::OFlags::RDONLY).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}/.", root.as_raw_fd()));
        assert_eq!(listing(&path), listing(&self.tree()), "{:?}", tree.why);
        compare_times(&self.tree(), &path);
        if tree.form == TreeForm::Index {
            let (root, index) = (fs::metadata(self.tree()).unwrap(), fs::metadata(&path).unwrap());
            assert_eq!((index.mode(), index.uid(), index.gid()), (root.mode(), root.uid(), root.gid()));
            let tar = fs::metadata(self.path(&format!("{name}/tar"))).unwrap();
            assert_eq!(tar.nlink(), if compression == "none" { 2 } else { 1 }, "a blob that is a tar is not written twice");
        }
    }

    pub fn copy_layer(&self, request: Value, compression: &str) -> Result<CopyResult, Error> {
        self.copy_into(request, "blob", compression)
    }

    fn copy_into(&self, mut request: Value, blob: &str, compression: &str) -> Result<CopyResult, Error> {
        request["layer"] = json!({ "blob": { "fd": open(self.directory.path()), "path": blob }, "compression": compression });
        if request.get("base").is_none() {
            request["base"] = self.lowers();
        }
        self.copy_plainly(request)
    }

    pub fn copy_plainly(&self, request: Value) -> Result<CopyResult, Error> {
        let request: Copy = serde_json::from_value(request).unwrap();
        stave_runner::layer::copy::copy(&request, &events())
    }

    pub fn mtime(&self, path: &str) -> i64 {
        fs::symlink_metadata(self.tree().join(path)).unwrap().mtime()
    }

    pub fn set_mtime(&self, path: &Path, seconds: i64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    /// What GNU tar makes of the layer.
    pub fn unpacked_layer(&self) -> Vec<String> {
        let into = self.path("unpacked");
        fs::create_dir(&into).unwrap();
        let status = Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"])
            .arg(self.path("blob"))
            .arg("-C")
            .arg(&into)
            .status()
            .unwrap();
        assert!(status.success(), "tar");
        compare_times(&self.tree(), &into);
        listing(&into)
    }
}

pub fn events() -> Events {
    Events::new(File::options().write(true).open("/dev/null").unwrap())
}

pub fn open(path: &Path) -> i32 {
    let file = File::open(path).unwrap();
    // The runner takes descriptors from 5 on.
    let high = rustix::io::fcntl_dupfd_cloexec(&file, 5).unwrap();
    assert!(high.as_raw_fd() >= 5);
    high.into_raw_fd()
}

/// `d MODE PATH`, `f MODE PATH CONTENT`, `l PATH TARGET`, `h PATH EXISTING`, `p MODE PATH`, `s PATH`, `w PATH` (whiteout).
pub fn build(root: &Path, entries: &[&str]) {
    fs::create_dir_all(root).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in entries {
        let (kind, rest) = entry.split_once(' ').unwrap();
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let chmod = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(u32::from_str_radix(first, 8).unwrap())).unwrap();
        match kind {
            "d" => {
                fs::create_dir(root.join(second)).unwrap();
                chmod(&root.join(second));
            }
            "f" => {
                let (path, content) = second.split_once(' ').unwrap();
                fs::write(root.join(path), content).unwrap();
                chmod(&root.join(path));
            }
            "p" => {
                let path = root.join(second);
                rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0).unwrap();
                chmod(&path);
            }
            "l" => std::os::unix::fs::symlink(second, root.join(first)).unwrap(),
            "h" => fs::hard_link(root.join(second), root.join(first)).unwrap(),
            "s" => drop(std::os::unix::net::UnixListener::bind(root.join(first)).unwrap()),
            "w" => stave_runner::overlay::make_whiteout(File::open(root).unwrap(), first.as_ref()).unwrap(),
            other => panic!("{other}"),
        }
    }
}

/// The entries of a tree in walk order, the root apart.
pub fn listing(root: &Path) -> Vec<String> {
    let (mut lines, mut inodes) = (Vec::new(), HashMap::new());
    list(root, root, &mut lines, &mut inodes);
    lines
}

fn list(root: &Path, directory: &Path, lines: &mut Vec<String>, inodes: &mut HashMap<u64, String>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let attributes = format!("{:o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        if kind.is_symlink() {
            lines.push(format!("l {name} {}", fs::read_link(&path).unwrap().display()));
        } else if kind.is_dir() {
            lines.push(format!("d {attributes} {name}{}", xattrs(&path)));
            list(root, &path, lines, inodes);
        } else if kind.is_file() {
            if let Some(first) = inodes.get(&metadata.ino()) {
                lines.push(format!("h {name} {first}"));
            } else {
                inodes.insert(metadata.ino(), name.clone());
                let content = fs::read(&path).unwrap();
                let shown = String::from_utf8_lossy(&content[..content.len().min(200)]).into_owned();
                lines.push(format!("f {attributes} {name} ={shown}{}", xattrs(&path)));
            }
        } else if kind.is_fifo() {
            lines.push(format!("p {attributes} {name}"));
        } else if kind.is_char_device() && metadata.rdev() == 0 {
            lines.push(format!("w {name}"));
        } else {
            lines.push(format!("? {attributes} {name}"));
        }
    }
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names: Vec<_> = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(String::from_utf8_lossy).collect();
    if names.is_empty() { String::new() } else { format!(" {{{}}}", names.join(",")) }
}

fn compare_times(a: &Path, b: &Path) {
    for entry in fs::read_dir(b).unwrap() {
        let path = entry.unwrap().path();
        let other = a.join(path.file_name().unwrap());
        let (mine, theirs) = (fs::symlink_metadata(&path).unwrap(), fs::symlink_metadata(&other).unwrap());
        // What is made on the way has the time of its making, and that may be the next second's.
        assert!((mine.mtime() - theirs.mtime()).abs() <= 1, "time of {}: {} and {}", other.display(), mine.mtime(), theirs.mtime());
        if mine.is_dir() {
            compare_times(&other, &path);
        }
    }
}
