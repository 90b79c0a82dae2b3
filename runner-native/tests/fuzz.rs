//! A fuzz of the reader and the extraction: short and the same each time, or as long as FUZZ_SECONDS says.
#![allow(clippy::octal_escapes, clippy::unwrap_used)]

mod layers;

use layers::{Place, Tar, block, listing, pax_records};
use stave_runner::tar::Reader;

/// xorshift64*: enough to break things with, and the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn seed(usual: u64) -> u64 {
    usual ^ number("FUZZ_SEED").unwrap_or(0)
}

/// So many rounds; with FUZZ_SECONDS, as many as that time has room for.
fn rounds(usual: usize) -> impl Iterator<Item = usize> {
    let end = number("FUZZ_SECONDS").map(|seconds| std::time::Instant::now() + std::time::Duration::from_secs(seconds));
    (0..).take_while(move |round| end.map_or(*round < usual, |end| std::time::Instant::now() < end))
}

fn seeds() -> Vec<Vec<Tar>> {
    let one = |tar: Tar| vec![tar];
    let old_sparse = block("sparse", b'S')
        .field(257, b"ustar  \0")
        .field(386, b"00000000000\000000001000\000000010000\000000001000\0")
        .field(483, b"00000020000\0")
        .data("x".repeat(1024));
    vec![
        one(Tar::default().dir("a").file("a/b", "content").symlink("a/l", "../c").hard_link("c", "a/b")),
        one(Tar::default().symlink("l", "/tmp").file("l/x", "x").dir("l").hard_link("y", "l/x")),
        one(Tar::default().pax(&[("path", b"long/name"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b")]).file("x", "data")),
        one(Tar::default().pax(&[("GNU.sparse.size", b"9000"), ("GNU.sparse.map", b"0,4,8000,4")]).file("x", "datadata")),
        one(Tar::default()
            .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"s"), ("GNU.sparse.realsize", b"5000")])
            .add(block("x", b'0').data(format!("{:\0<512}{}", "2\n0\n3\n4000\n3\n", "abcdef")))),
        one(Tar::default().add(old_sparse).file("after", "")),
        one(Tar::default()
            .add(block("././@LongLink", b'L').data("a/long/name\0"))
            .add(block("././@LongLink", b'K').data("t\0"))
            .symlink("x", "y")),
        one(Tar::default().add(block("g", b'g').data(pax_records(&[("comment", b"x"), ("uid", b"0")]))).file("x", "")),
        vec![
            Tar::default().dir("d").file("d/a", "1").file("d/b", "2").symlink("l", "d"),
            Tar::default().file("d/.wh.a", "").file("e/.wh..wh..opq", "").hard_link("h", "d/b").file("l/z", ""),
        ],
        one(Tar::default().add(block("p", b'6')).add(block("c", b'3').device(0, 0)).file("p", "x").file("p/q", "")),
    ]
}

/// Words that mean something to a tar, and the corners of numbers.
const WORDS: &[&[u8]] = &[
    b"../",
    b"/",
    b"..",
    b".",
    b"./",
    b".wh.",
    b".wh..wh..opq",
    b"\0",
    b"ustar\0",
    b"ustar  \0",
    b"00",
    b"path=",
    b"linkpath=",
    b"size=",
    b"GNU.sparse.map=",
    b"GNU.sparse.major=",
    b"SCHILY.xattr.",
    b"77777777777\0",
    b"00000000000\0",
    b"\x80",
    b"\xff",
    b"\n",
    b"=",
    b" ",
    b"18446744073709551615",
    b"9223372036854775807",
    b"-1",
    b"0",
    b"L",
    b"K",
    b"x",
    b"g",
    b"S",
    b"1",
    b"2",
    b"5",
    b"6",
];

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(6) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(9) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 | 3 => {
                let word = WORDS[random.below(WORDS.len())];
                let end = (at + word.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            4 => bytes.truncate(at),
            5 => {
                let block = at / 512 * 512;
                let copy = bytes[block..(block + 512).min(bytes.len())].to_vec();
                let to = random.below(bytes.len() / 512 + 1) * 512;
                bytes.splice(to..to, copy);
            }
            6 => {
                let block = at / 512 * 512;
                bytes.drain(block..(block + 512).min(bytes.len()));
            }
            7 => {
                // In the name, the link or the type of some header.
                let field = [0, 0, 0, 124, 156, 157, 257, 345][random.below(8)];
                let word = WORDS[random.below(WORDS.len())];
                let start = (at / 512 * 512 + field).min(bytes.len());
                let end = (start + word.len()).min(bytes.len());
                bytes[start..end].copy_from_slice(&word[..end - start]);
            }
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    // Headers that nearly are: most changes should get past the checksum.
    for start in (0..bytes.len()).step_by(512) {
        let Some(header) = bytes.get_mut(start..start + 512) else { break };
        if header[156] != 0 && (header[257..262] == *b"ustar" || random.below(4) == 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Reads every member and all data; what was read may not be more than there was.
fn read_all(bytes: &[u8]) {
    let mut reader = Reader::of(bytes);
    let mut total = 0;
    while let Ok(Some(member)) = reader.next() {
        let mut end = 0;
        let read = reader.data(|offset, data| {
            assert!(offset >= end && offset + data.len() as u64 <= member.size);
            end = offset + data.len() as u64;
            total += data.len();
            Ok(())
        });
        if read.is_err() {
            break;
        }
    }
    assert!(total <= bytes.len());
}

#[test]
fn the_reader_survives() {
    let mut random = Random(seed(0x5eed_0001));
    let seeds = seeds();
    for round in rounds(30_000) {
        let tars = &seeds[round % seeds.len()];
        let mut bytes = tars[random.below(tars.len())].clone().end();
        mutate(&mut random, &mut bytes);
        read_all(&bytes);
    }
}

#[test]
fn extraction_stays_inside() {
    let mut random = Random(seed(0x5eed_0002));
    let seeds = seeds();
    let canary = tempfile::tempdir().unwrap();
    std::fs::write(canary.path().join("secret"), "untouched").unwrap();
    let before = listing(canary.path());
    let (mut good, mut bad) = (0, 0);
    for round in rounds(400) {
        let place = Place::new();
        // A name that climbs out of the tree would land here.
        let outside = || {
            let mut names: Vec<_> = std::fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            // What the other way of keeping a layer has made of it, for comparison.
            names.retain(|name| !name.to_string_lossy().starts_with("index-"));
            names.sort();
            names
        };
        let mut expected: Vec<std::ffi::OsString> = Vec::new();
        let blobs = seeds[round % seeds.len()].iter().enumerate().map(|(index, tar)| {
            let mut bytes = tar.clone().end();
            mutate(&mut random, &mut bytes);
            expected.push(format!("{index}").into());
            expected.push(format!("{index}.blob").into());
            layers::Blob::plain(bytes)
        });
        let blobs = blobs.collect();
        match place.unpack(blobs, (Some(1 << 20), Some(1000))) {
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
        expected.sort();
        assert_eq!(outside(), expected, "round {round}");
    }
    assert_eq!(listing(canary.path()), before);
    // A fuzz that only ever fails, or never does, tests nothing.
    assert!(good > 30 && bad > 30, "{good} {bad}");
}
