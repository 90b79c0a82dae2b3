//! One past each bound on layers and on what is read of trees. `src/limit.test.ts` names these tests.
#![allow(clippy::unwrap_used, clippy::format_collect)]

mod layers;

use layers::{Blob, Place, Tar, block};
use stave_runner::error::Kind;
use stave_runner::limit;
use stave_runner::wire::layer::Compression;
use std::io::{Read, Seek, Write};

fn unpack(tar: Vec<u8>) -> Result<(), Kind> {
    Place::new().unpack_plain(vec![tar]).map(drop).map_err(|error| error.kind)
}

#[test]
fn one_layer_too_many() {
    let layers = |count: usize| vec![Tar::default().end(); count];
    assert_eq!(Place::new().unpack_plain(layers(limit::LAYERS + 1)).err().unwrap().kind, Kind::TooLarge);
}

#[test]
fn a_name_that_is_too_long() {
    let named = |length: usize| {
        let name: String = (0..length).map(|at| if at % 100 == 99 { '/' } else { 'n' }).collect();
        unpack(Tar::default().pax(&[("path", name.as_bytes())]).file("file", "").end())
    };
    assert_eq!(named(limit::PATH + 1), Err(Kind::TooLarge));
}

#[test]
fn a_chain_of_links_that_is_too_long() {
    let chain = |length: usize| {
        let start = Tar::default().dir(&format!("l{length}"));
        let links = (0..length).fold(start, |tar, at| tar.symlink(&format!("l{at}"), &format!("l{}", at + 1)));
        unpack(links.file("l0/file", "").end())
    };
    assert_eq!(chain(limit::LINKS), Ok(()));
    assert!(chain(limit::LINKS + 1).is_err());
}

#[test]
fn an_extended_header_that_is_too_large() {
    let header = |size: u64| {
        let data = format!("{size} comment=");
        let data = format!("{data}{}\n", "x".repeat(size as usize - data.len() - 1));
        unpack(Tar::default().add(block("p", b'x').data(data)).file("file", "").end())
    };
    assert_eq!(header(limit::EXTENDED_HEADER), Ok(()));
    assert_eq!(header(limit::EXTENDED_HEADER + 1), Err(Kind::TooLarge));
}

#[test]
fn more_extents_than_a_sparse_file_may_have() {
    let records: [(&str, &[u8]); 4] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"f"), ("GNU.sparse.realsize", b"0")];
    let map = format!("{}\n", limit::EXTENTS + 1);
    let error = Place::new().unpack_plain(vec![Tar::default().pax(&records).file("f", &format!("{map:\0<512}")).end()]).err().unwrap();
    assert!(error.message.contains("extents"), "{}", error.message);
}

#[test]
fn more_attributes_than_a_file_may_have() {
    let file = |count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("SCHILY.xattr.trusted.overlay.{at}")).collect();
        let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
        unpack(Tar::default().pax(&records).file("f", "").end())
    };
    assert_eq!(file(limit::XATTRS), Ok(()));
    assert_eq!(file(limit::XATTRS + 1), Err(Kind::Corrupt));
}

#[test]
fn a_bomb_ends_where_it_becomes_harmful() {
    let mut blob = Vec::new();
    let mut zeros = std::io::repeat(0).take(limit::HARMLESS + (4 << 20));
    let mut encoder = zstd::Encoder::new(&mut blob, 1).unwrap();
    std::io::copy(&mut zeros, &mut encoder).unwrap();
    encoder.finish().unwrap();
    assert!(limit::HARMLESS / blob.len() as u64 > limit::RATIO);
    let head = zstd::encode_all(&Tar::default().add(block("f", b'0').size(2 * limit::HARMLESS)).0[..512], 1).unwrap();
    let blob = Blob { compression: Compression::Zstd, ..Blob::plain([head, blob].concat()) };
    assert_eq!(Place::new().unpack(vec![blob], (None, None)).err().unwrap().kind, Kind::TooLarge);
}

#[test]
fn xz_that_asks_for_too_much_memory_is_no_archive() {
    let open = |dictionary: u32| {
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        options.dict_size(dictionary);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(&mut file, stream);
        encoder.write_all(&Tar::default().file("f", "content").end()).unwrap();
        encoder.finish().unwrap();
        file.rewind().unwrap();
        stave_runner::archive::open_archive(file).unwrap().is_some()
    };
    assert!(open(64 << 20));
    assert!(!open(u32::try_from(limit::XZ_MEMORY).unwrap() + (1 << 20)));
}

#[test]
fn a_program_whose_names_are_too_long_has_no_sections() {
    let section = |size: u64| {
        let mut file = tempfile::tempfile().unwrap();
        let mut head = vec![0; 64 + 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        for (at, value) in [(0x28, 64_u64), (64 + 24, 128), (64 + 32, size)] {
            head[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        for (at, value) in [(0x3a, 64_u16), (0x3c, 1), (0x3e, 0)] {
            head[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        head[64 + 4] = 1;
        file.write_all(&head).unwrap();
        file.write_all(b"name\0").unwrap();
        file.set_len(128 + size).unwrap();
        stave_runner::elf::section(&file, &["name".to_owned()], u64::MAX).unwrap().is_some()
    };
    assert!(section(limit::ELF_NAMES));
    assert!(!section(limit::ELF_NAMES + 1));
}

/// A table of gigabytes, of entries that are far larger than any toolchain makes them.
#[test]
fn a_program_whose_table_is_too_large_has_no_sections() {
    let mut file = tempfile::tempfile().unwrap();
    let mut head = vec![0; 64];
    head[..6].copy_from_slice(b"\x7fELF\x02\x01");
    head[0x28..0x30].copy_from_slice(&64_u64.to_le_bytes());
    head[0x3a..0x3e].fill(0xff);
    file.write_all(&head).unwrap();
    file.set_len(5 << 30).unwrap();
    let before = std::time::Instant::now();
    assert!(stave_runner::elf::section(&file, &["name".to_owned()], u64::MAX).unwrap().is_none());
    assert!(before.elapsed().as_millis() < 500);
}

/// The program, with a request on its standard input.
fn ask(request: impl Read) -> String {
    let mut child = std::process::Command::new("sh")
        .args(["-c", "exec \"$0\" 3<&0 4>&1", env!("CARGO_BIN_EXE_stave-runner")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut request = request;
    // It may hang up in the middle.
    let _ = std::io::copy(&mut request, &mut input);
    drop(input);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_request_that_is_too_large() {
    let said = ask(std::io::repeat(b' ').take(limit::REQUEST as u64 + 1));
    assert!(said.contains("too-large") || said.contains("larger"), "{said}");
}
