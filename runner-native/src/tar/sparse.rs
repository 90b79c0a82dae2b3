//! Maps of sparse files: GNU's old format and the three pax ones (GNU tar manual, "Storing Sparse Files").

use super::header::size;
use crate::error::{Error, Kind, Result};
use crate::limit;

/// Reads entries of GNU's old format: 12 bytes offset, 12 bytes length; an empty offset ends the map.
pub fn old_entries(field: &[u8], map: &mut Vec<(u64, u64)>) -> Result<()> {
    for entry in field.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        map.push((size(&entry[..12], "sparse offset")?, size(&entry[12..], "sparse length")?));
    }
    if map.len() > limit::EXTENTS { Err(corrupt("a sparse file has more than a million extents")) } else { Ok(()) }
}

/// Pairs the numbers of a pax map.
pub fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>> {
    if numbers.len() % 2 != 0 || numbers.len() / 2 > limit::EXTENTS {
        return Err(corrupt("a sparse map is broken"));
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Checks that a map is ascending, fits into `size` bytes, and accounts for all `stored` bytes. Drops empty extents.
pub fn check(map: Vec<(u64, u64)>, size: u64, stored: u64) -> Result<Vec<(u64, u64)>> {
    let (mut end, mut sum) = (0u64, 0u64);
    for &(offset, length) in &map {
        let next = offset.checked_add(length).filter(|&next| offset >= end && next <= size);
        end = next.ok_or_else(|| corrupt("a sparse map overlaps itself or leaves its file"))?;
        sum += length;
    }
    if sum != stored {
        return Err(corrupt("a sparse map does not account for the data of its file"));
    }
    Ok(map.into_iter().filter(|&(_, length)| length > 0).collect())
}

fn corrupt(message: &str) -> Error {
    Error::new(Kind::Corrupt, message)
}
