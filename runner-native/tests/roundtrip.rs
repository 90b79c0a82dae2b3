//! What the writer writes, the reader reads.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use stave_runner::tar::encode::{END, Header, header, pad};
use stave_runner::tar::{Member, Reader, Time, Type, Xattr};
use std::io::Read;

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => b'a'..=b'z', 1 => 1u8..=255].prop_map(|byte| if byte == b'/' { b'_' } else { byte });
    let component = prop_oneof![6 => vec(byte.clone(), 1..12), 1 => vec(byte, 90..255)];
    vec(component, 1..6).prop_map(|components| components.join(&b'/'))
}

fn kind() -> impl Strategy<Value = Type> {
    prop_oneof![
        4 => Just(Type::File),
        2 => Just(Type::Directory),
        1 => Just(Type::Symlink),
        1 => Just(Type::HardLink),
        1 => Just(Type::CharDevice),
        1 => Just(Type::BlockDevice),
        1 => Just(Type::Fifo),
    ]
}

fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let key = "[a-z]{1,8}\\.[a-zA-Z0-9_.-]{1,20}".prop_map(String::into_bytes);
    let value = vec(any::<u8>(), 0..50);
    prop_oneof![4 => Just(Vec::new()), 1 => proptest::collection::btree_map(key, value, 1..4).prop_map(|map| map.into_iter().collect())]
}

prop_compose! {
    fn member()(
        path in name(),
        kind in kind(),
        mode in 0u32..0o10000,
        uid in prop_oneof![0u64..2_000_000, any::<u32>().prop_map(u64::from)],
        gid in prop_oneof![0u64..2_000_000, any::<u32>().prop_map(u64::from)],
        seconds in prop_oneof![0i64..2_000_000_000, -10_000_000_000i64..1_000_000_000_000],
        link in name(),
        device in (0u32..4096, 0u32..100_000),
        xattrs in xattrs(),
        content in vec(any::<u8>(), 0..2000),
    ) -> (Member, Vec<u8>) {
        let mut member = Member::new(path, kind);
        (member.mode, member.uid, member.gid) = (mode, uid, gid);
        member.mtime = Time { seconds, nanoseconds: 0 };
        member.xattrs = xattrs;
        if matches!(kind, Type::Symlink | Type::HardLink) {
            member.link = link;
        }
        if matches!(kind, Type::CharDevice | Type::BlockDevice) {
            member.device = device;
        }
        let content = if kind == Type::File { content } else { Vec::new() };
        member.size = content.len() as u64;
        (member, content)
    }
}

fn write(member: &Member, content: &[u8], out: &mut Vec<u8>) {
    let fields = Header {
        path: &member.path,
        kind: member.kind,
        mode: member.mode,
        uid: u32::try_from(member.uid).unwrap(),
        gid: u32::try_from(member.gid).unwrap(),
        size: member.size,
        mtime: member.mtime.seconds,
        link: &member.link,
        device: member.device,
        xattrs: &member.xattrs,
    };
    header(&fields, out);
    out.extend_from_slice(content);
    pad(member.size, out);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn members_come_back(members in vec(member(), 0..8), skipped in any::<u8>()) {
        let mut archive = Vec::new();
        for (member, content) in &members {
            write(member, content, &mut archive);
        }
        archive.extend_from_slice(&END);
        let mut reader = Reader::of(archive.as_slice());
        for (index, (member, content)) in members.iter().enumerate() {
            let mut expected = member.clone();
            if expected.kind == Type::Directory {
                expected.path.push(b'/');
            }
            let read = reader.next().unwrap().unwrap();
            prop_assert_eq!(&read, &expected);
            // Some are skipped, as a whole or after a part.
            if (skipped >> (index % 8)) & 1 == 0 {
                    let mut got = Vec::new();
                    reader.content(&read).read_to_end(&mut got).unwrap();
                    prop_assert_eq!(&got, content);
            } else {
                    let mut some = [0; 7];
                    let count = reader.content(&read).read(&mut some).unwrap();
                    prop_assert_eq!(&some[..count], &content[..count]);
            }
        }
        prop_assert!(reader.next().unwrap().is_none());
    }
}
