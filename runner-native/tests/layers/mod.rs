//! Layers made in code, byte by byte, so that they can be as wrong as a test wants them; and a place to unpack them.
#![allow(dead_code, unused_imports, clippy::needless_pass_by_value, clippy::unnecessary_debug_formatting, clippy::unwrap_used)]

#[path = "../machine/mod.rs"]
mod machine;

pub use machine::{can_mount, is_root};
use stave_runner::error::Error;
use stave_runner::layer::unpack::{Job, Layer, unpack};
use stave_runner::sha256::Sha256;
use stave_runner::tree;
use stave_runner::wire::event::Events;
use stave_runner::wire::layer::{Compression, TreeForm, UnpackedContent, UnpackedLayer};
use stave_runner::wire::place::Place as HostPlace;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// An archive in the making.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

/// One header block, with what follows it.
#[derive(Clone)]
pub struct Block {
    pub header: [u8; 512],
    pub data: Vec<u8>,
}

pub fn block(name: &str, flag: u8) -> Block {
    let mut header = [0; 512];
    header[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[156] = flag;
    let block = Block { header, data: Vec::new() };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    block.mode(if flag == b'5' { 0o755 } else { 0o644 }).owner(u64::from(uid), u64::from(gid)).mtime(1_600_000_000).size(0)
}

impl Block {
    pub fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
    pub fn mode(self, mode: u32) -> Self {
        self.field(100, format!("{mode:07o}\0").as_bytes())
    }
    pub fn owner(self, uid: u64, gid: u64) -> Self {
        self.field(108, format!("{uid:07o}\0").as_bytes()).field(116, format!("{gid:07o}\0").as_bytes())
    }
    pub fn mtime(self, seconds: u64) -> Self {
        self.field(136, format!("{seconds:011o}\0").as_bytes())
    }
    pub fn size(self, size: u64) -> Self {
        self.field(124, format!("{size:011o}\0").as_bytes())
    }
    pub fn link(self, target: &str) -> Self {
        self.field(157, target.as_bytes())
    }
    pub fn device(self, major: u32, minor: u32) -> Self {
        self.field(329, format!("{major:07o}\0").as_bytes()).field(337, format!("{minor:07o}\0").as_bytes())
    }
    /// Data, with the size that it has.
    pub fn data(mut self, data: impl AsRef<[u8]>) -> Self {
        self.data = data.as_ref().to_vec();
        let size = self.data.len() as u64;
        self.size(size)
    }
}

impl Tar {
    pub fn add(self, block: Block) -> Self {
        self.add_block(&block)
    }
    fn add_block(self, block: &Block) -> Self {
        let mut header = block.header;
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.raw(&header).raw(&block.data).pad()
    }
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn pad(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    pub fn dir(self, name: &str) -> Self {
        self.add(block(name, b'5'))
    }
    pub fn file(self, name: &str, data: &str) -> Self {
        self.add(block(name, b'0').data(data))
    }
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.add(block(name, b'2').link(target))
    }
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(block(name, b'1').link(target))
    }
    /// An extended header for the next member.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.add(block("PaxHeader", b'x').data(pax_records(records)))
    }
    /// With the two blocks at its end.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

pub fn pax_records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = 1 + key.len() + 1 + value.len() + 1;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        data.extend_from_slice(format!("{length} {key}=").as_bytes());
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    data
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn digest(data: &[u8]) -> String {
    Sha256::of(data).name()
}

/// A blob to unpack, as the host would name it.
pub struct Blob {
    pub bytes: Vec<u8>,
    pub compression: Compression,
    pub digest: Option<String>,
    pub size: Option<u64>,
    pub diff_id: Option<String>,
}

impl Blob {
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, compression: Compression::None, digest: None, size: None, diff_id: None }
    }
}

/// What was made of a layer, unless it was left to be unpacked.
pub fn content(layer: UnpackedLayer) -> Option<UnpackedContent> {
    match layer {
        UnpackedLayer::Tree(content) | UnpackedLayer::Index(content) => Some(content),
        UnpackedLayer::None { .. } => None,
    }
}

/// What nothing describes has the time of its making when unpacked, and none in an index: neither counts.
fn since(listing: Vec<String>, begun: i64) -> Vec<String> {
    let timeless = |line: String| {
        let mut fields: Vec<&str> = line.rsplitn(2, "\" ").collect();
        fields.reverse();
        let [name, rest] = fields[..] else { return line };
        let words: Vec<&str> = rest.split(' ').collect();
        let time = words.iter().position(|word| word.contains('.') && word.split('.').all(|part| part.parse::<i64>().is_ok()));
        match time {
            Some(at) if words[at].split('.').next().unwrap().parse::<i64>().unwrap() >= begun => {
                let mut words = words.clone();
                words[at] = "0.000000000";
                format!("{name}\" {}", words.join(" "))
            }
            _ => line,
        }
    };
    listing.into_iter().map(timeless).collect()
}

/// A store in a temporary directory.
pub struct Place {
    pub directory: tempfile::TempDir,
    pub events: File,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), events: tempfile::tempfile().unwrap() }
    }

    pub fn tree(&self, index: usize) -> PathBuf {
        self.directory.path().join(index.to_string()).join("fs")
    }

    /// Unpacks blobs, the lowest first. Where layers can be mounted, an index of each must show the same, or refuse it for
    /// the same reason.
    pub fn unpack(&self, blobs: Vec<Blob>, limits: (Option<u64>, Option<u64>)) -> Result<Vec<UnpackedContent>, Error> {
        let events = Events::new(self.events.try_clone().unwrap());
        let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let made = unpack(self.job(TreeForm::Tree, "", &blobs, limits), &events);
        if can_mount() {
            let indexed = unpack(self.job(TreeForm::Index, "index-", &blobs, limits), &Events::new(tempfile::tempfile().unwrap()));
            self.compare(&blobs, &made, &indexed, begun);
        }
        Ok(made?.into_iter().map(|layer| content(layer).unwrap()).collect())
    }

    fn job(&self, form: TreeForm, prefix: &str, blobs: &[Blob], limits: (Option<u64>, Option<u64>)) -> Job {
        let layers = blobs.iter().enumerate().map(|(index, blob)| {
            let into = self.directory.path().join(format!("{prefix}{index}"));
            std::fs::create_dir(&into).unwrap();
            let path = self.directory.path().join(format!("{prefix}{index}.blob"));
            std::fs::write(&path, &blob.bytes).unwrap();
            Layer {
                blob: File::open(path).unwrap().into(),
                compression: blob.compression,
                digest: blob.digest.clone().unwrap_or_else(|| digest(&blob.bytes)),
                size: blob.size.unwrap_or(blob.bytes.len() as u64),
                diff_id: blob.diff_id.clone(),
                into: File::open(into).unwrap().into(),
            }
        });
        Job { form, lowers: Vec::new(), layers: layers.collect(), max_bytes: limits.0, max_entries: limits.1, confine: false }
    }

    fn compare(&self, blobs: &[Blob], made: &Result<Vec<UnpackedLayer>, Error>, indexed: &Result<Vec<UnpackedLayer>, Error>, begun: i64) {
        let (made, indexed) = match (made, indexed) {
            (Ok(made), Ok(indexed)) => (made, indexed),
            (Ok(made), Err(error)) => panic!("unpacked, though indexing says {error}: {made:?}"),
            (Err(one), Err(other)) => {
                // Of several that are refused, the first that is found is told, and layers are read side by side.
                let layer = |error: &Error| error.message.split(": ").next().map(str::to_owned);
                assert!(layer(one) != layer(other) || one.kind == other.kind, "{one} {other}");
                return;
            }
            (Err(error), Ok(indexed)) => {
                let left_to_unpacking = indexed.iter().any(|layer| matches!(layer, UnpackedLayer::None { .. }));
                assert!(left_to_unpacking, "indexed, though unpacking says {error}");
                return;
            }
        };
        for (index, (tree, layer)) in made.iter().zip(indexed).enumerate() {
            let UnpackedLayer::Index(layer) = layer else { continue };
            let UnpackedLayer::Tree(tree) = tree else { panic!("{tree:?}") };
            assert_eq!((&layer.diff_id, layer.entries), (&tree.diff_id, tree.entries));
            let tar = std::fs::metadata(self.directory.path().join(format!("index-{index}/tar"))).unwrap();
            let is_tar = blobs[index].compression == Compression::None;
            assert_eq!(
                std::os::unix::fs::MetadataExt::nlink(&tar),
                if is_tar { 2 } else { 1 },
                "a blob that is a tar is not written twice"
            );
            let mounted = self.mounted(index);
            let path = PathBuf::from(format!("/proc/self/fd/{}/.", std::os::fd::AsRawFd::as_raw_fd(&mounted)));
            assert_eq!(since(listing(&path), begun), since(listing(&self.tree(index)), begun));
            let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o7777;
            let file = self.directory.path().join(format!("index-{index}/fs"));
            assert_eq!([mode(&path), mode(&file)], [mode(&self.tree(index)); 2]);
        }
    }

    /// The tree of a layer that was indexed.
    pub fn mounted(&self, index: usize) -> OwnedFd {
        // The first five are the wire's.
        let directory = rustix::io::fcntl_dupfd_cloexec(File::open(self.directory.path()).unwrap(), 5).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&directory);
        tree::open(&HostPlace { fd, path: Some(format!("index-{index}/fs")) }, rustix::fs::OFlags::RDONLY).unwrap()
    }

    pub fn unpack_plain(&self, tars: Vec<Vec<u8>>) -> Result<Vec<UnpackedContent>, Error> {
        self.unpack(tars.into_iter().map(Blob::plain).collect(), (None, None))
    }

    /// What was said beside the result.
    pub fn warnings(&self) -> Vec<String> {
        use std::os::unix::fs::FileExt;
        let mut text = vec![0; self.events.metadata().unwrap().len() as usize];
        self.events.read_exact_at(&mut text, 0).unwrap();
        let lines = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
        lines.filter(|event| event["event"] == "warning").map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    pub fn open(&self, index: usize) -> OwnedFd {
        File::open(self.tree(index)).unwrap().into()
    }
}

/// Every path below `root`, with all that an image keeps of it, in one line each.
pub fn listing(root: &Path) -> Vec<String> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    let mut lines = Vec::new();
    let mut links = std::collections::HashMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        let mut names: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            let kind = meta.file_type();
            let content = if kind.is_symlink() {
                format!("{:?}", std::fs::read_link(&path).unwrap())
            } else if kind.is_file() {
                let data = std::fs::read(&path).unwrap();
                format!("{} {}", data.len(), digest(&data))
            } else {
                meta.rdev().to_string()
            };
            let mut xattrs = Vec::new();
            if !kind.is_symlink() {
                let mut names = vec![0u8; 4096];
                let length = rustix::fs::llistxattr(&path, &mut names).unwrap_or(0);
                for attribute in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
                    let mut value = vec![0u8; 4096];
                    let length = rustix::fs::lgetxattr(&path, std::ffi::OsStr::from_bytes(attribute), &mut value).unwrap_or(0);
                    xattrs.push(format!("{}={:?}", String::from_utf8_lossy(attribute), &value[..length]));
                }
                xattrs.sort();
            }
            let mut same = String::new();
            if !kind.is_dir() && meta.nlink() > 1 {
                same = format!("= {:?}", links.entry(meta.ino()).or_insert_with(|| name.clone()));
            }
            let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
            lines.push(format!("{name:?} {:o} {}:{} {time} {content} {xattrs:?} {same}", meta.mode(), meta.uid(), meta.gid()));
            if kind.is_dir() {
                todo.push(path);
            }
        }
    }
    lines.sort();
    lines
}
