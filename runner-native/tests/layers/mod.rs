//! Layers made in code, byte by byte, so that they can be as wrong as a test wants them; and a place to unpack them.
#![allow(dead_code, clippy::needless_pass_by_value, clippy::unnecessary_debug_formatting, clippy::unwrap_used)]

use stave_runner::layer::unpack::{Job, Layer, Unpacked, unpack};
use stave_runner::sha256::Sha256;
use stave_runner::wire::error::Error;
use stave_runner::wire::event::Events;
use stave_runner::wire::protocol::Compression;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

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

    /// Unpacks blobs, the lowest first.
    pub fn unpack(&self, blobs: Vec<Blob>, limits: (Option<u64>, Option<u64>)) -> Result<Vec<Unpacked>, Error> {
        let layers = blobs.into_iter().enumerate().map(|(index, blob)| {
            let into = self.directory.path().join(index.to_string());
            std::fs::create_dir(&into).unwrap();
            let path = self.directory.path().join(format!("{index}.blob"));
            std::fs::write(&path, &blob.bytes).unwrap();
            Layer {
                blob: File::open(path).unwrap().into(),
                compression: blob.compression,
                digest: blob.digest.unwrap_or_else(|| digest(&blob.bytes)),
                size: blob.size.unwrap_or(blob.bytes.len() as u64),
                diff_id: blob.diff_id,
                into: File::open(into).unwrap().into(),
            }
        });
        let layers = layers.collect();
        let job = Job { lowers: Vec::new(), layers, max_bytes: limits.0, max_entries: limits.1, confine: false };
        unpack(job, &Events::new(self.events.try_clone().unwrap()))
    }

    pub fn unpack_plain(&self, tars: Vec<Vec<u8>>) -> Result<Vec<Unpacked>, Error> {
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
