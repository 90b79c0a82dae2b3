//! `cargo bench --bench compress -- FILE`: size and processor time of each level.

use stave_runner::compress::{Encoder, threads};
use stave_runner::wire::layer::Compression;
use std::fs::File;
use std::time::Instant;

fn main() {
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("usage: cargo bench --bench compress -- FILE");
        return;
    };
    let bytes = std::fs::read(path).expect("the file can be read");
    let levels = [(Compression::None, 1..=1), (Compression::Gzip, 1..=7), (Compression::Zstd, 1..=4)];
    for (compression, levels) in levels {
        for level in levels {
            let blob = File::options().write(true).open("/dev/null").expect("/dev/null");
            let (start, cpu) = (Instant::now(), rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime));
            let mut encoder = Encoder::new(blob, compression, Some(level), threads()).expect("an encoder");
            for piece in bytes.chunks(1 << 16) {
                encoder.write(piece).expect("written");
            }
            let done = encoder.finish().expect("finished");
            let after = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            let cpu = (after.tv_sec - cpu.tv_sec) * 1000 + (after.tv_nsec - cpu.tv_nsec) / 1_000_000;
            println!("{compression:?} {level}: {} bytes, {} ms, {cpu} ms of processor", done.size, start.elapsed().as_millis());
        }
    }
}
