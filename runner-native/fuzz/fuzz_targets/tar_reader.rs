//! `cargo +nightly fuzz run tar_reader`: any bytes, read as a tar.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stave_runner::tar::Reader;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::of(bytes);
    let mut total = 0;
    while let Ok(Some(member)) = reader.next() {
        let read = reader.data(|offset, data| {
            assert!(offset + data.len() as u64 <= member.size);
            total += data.len();
            Ok(())
        });
        if read.is_err() {
            break;
        }
    }
    assert!(total <= bytes.len());
});
