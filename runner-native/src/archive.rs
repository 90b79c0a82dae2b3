//! Archives that ADD unpacks: tars, plain or compressed, told by their content and never by their name.

use crate::error::{Error, Result};
use crate::limit;
use crate::tar::BLOCK;
use crate::tar::header::Header;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// How much of a file its compression is told from.
const MAGIC: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// What the first bytes of a file say.
pub fn detect(start: &[u8]) -> Format {
    match start {
        [0x1f, 0x8b, 8, ..] => Format::Gzip,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
        _ => Format::Plain,
    }
}

/// The tar in a file, decompressed, from its start; `None` if the file is no archive (also if it is compressed and there is no tar in it).
/// The file's position is undefined afterwards.
pub fn open_archive<'a>(mut file: impl Read + Seek + Send + 'a) -> Result<Option<Box<dyn Read + Send + 'a>>> {
    let mut start = [0; MAGIC];
    let count = fill(&mut file, &mut start).map_err(|error| Error::io("read(archive)", &error))?;
    let format = detect(&start[..count]);
    rewind(&mut file)?;
    {
        // Damaged data is no archive either: it is copied as it is.
        let mut block = [0; BLOCK];
        let Ok(mut tar) = decompress(&mut file, format) else { return Ok(None) };
        if !matches!(fill(&mut tar, &mut block), Ok(BLOCK)) || Header::is_zero(&block) || Header::parse(&block).is_err() {
            return Ok(None);
        }
    }
    rewind(&mut file)?;
    decompress(file, format).map(Some).map_err(|error| Error::io("read(archive)", &error))
}

fn decompress<'a>(file: impl Read + Send + 'a, format: Format) -> std::io::Result<Box<dyn Read + Send + 'a>> {
    let file = BufReader::with_capacity(128 << 10, file);
    Ok(match format {
        Format::Plain => Box::new(file),
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        Format::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(limit::XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Format::Zstd => Box::new(zstd_decoder(file)?),
    })
}

fn zstd_decoder<R: BufRead>(file: R) -> std::io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
    decoder.window_log_max(limit::ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

fn rewind(file: &mut impl Seek) -> Result<()> {
    file.seek(SeekFrom::Start(0)).map(drop).map_err(|error| Error::io("lseek(0)", &error))
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    /// One empty file of the name `a`, and the end of the archive.
    fn tar() -> Vec<u8> {
        let mut block = vec![0; 3 * BLOCK];
        block[0] = b'a';
        block[100..108].copy_from_slice(b"0000644\0");
        block[124..136].copy_from_slice(b"00000000000\0");
        block[148..156].copy_from_slice(b"        ");
        block[156] = b'0';
        let sum: u32 = block[..BLOCK].iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn compress(format: Format, data: &[u8]) -> Vec<u8> {
        match format {
            Format::Plain => data.to_vec(),
            Format::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Format::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Format::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Format::Zstd => zstd::encode_all(data, 1).unwrap(),
        }
    }

    #[test]
    fn archives_are_told_by_content() {
        for format in [Format::Plain, Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd] {
            let whole = tar();
            let (first, second) = whole.split_at(BLOCK);
            // In two members, frames or streams, where that is possible.
            let file = if format == Format::Plain { tar() } else { [compress(format, first), compress(format, second)].concat() };
            let mut content = Vec::new();
            open_archive(Cursor::new(file)).unwrap().expect("an archive").read_to_end(&mut content).unwrap();
            assert_eq!(content, tar(), "{format:?}");
            let other = compress(format, b"not a tar, though it is long enough to be one".repeat(40).as_slice());
            assert!(open_archive(Cursor::new(other)).unwrap().is_none(), "{format:?}");
        }
        assert!(open_archive(Cursor::new(Vec::new())).unwrap().is_none());
        assert!(open_archive(Cursor::new(vec![0x1f, 0x8b, 8, 0])).unwrap().is_none());
        assert!(open_archive(Cursor::new(vec![0; 4096])).unwrap().is_none());
    }
}
