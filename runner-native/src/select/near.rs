//! What was probably meant by a name that is not there.

use crate::overlay::{Entry, Stack};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Nothing near a name this long is a slip of the keyboard, and the cost is quadratic.
const LONGEST: usize = 128;
/// So many names are looked at.
const MOST: usize = 10_000;

/// The path whose last name is one or two edits away, in the directory that is there; none that is `hidden`.
pub fn near(stack: &Stack, path: &[u8], hidden: impl Fn(&[u8]) -> bool) -> Option<String> {
    let cut = path.iter().rposition(|byte| *byte == b'/');
    let (directory, name) = cut.map_or((&path[..0], path), |at| (&path[..at], &path[at + 1..]));
    if name.len() > LONGEST {
        return None;
    }
    let parent: Entry = stack.lookup(Path::new(std::ffi::OsStr::from_bytes(directory)), true).ok()??;
    if !parent.is_directory() {
        return None;
    }
    let names = stack.list(&parent).ok()?;
    let candidates = names.iter().take(MOST).map(|entry| entry.name.as_bytes());
    let at_most = 2.min(name.len() / 2);
    let best = candidates.map(|other| (distance(name, other), other)).filter(|(far, _)| *far > 0 && *far <= at_most);
    let (_, found) = best.filter(|(_, other)| !hidden(&joined(directory, other))).min()?;
    String::from_utf8(joined(directory, found)).ok()
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// How many bytes must be inserted, removed, replaced or swapped with their neighbour.
fn distance(one: &[u8], other: &[u8]) -> usize {
    if one.len().abs_diff(other.len()) > 2 {
        return usize::MAX;
    }
    let mut before = Vec::new();
    let mut previous: Vec<usize> = (0..=other.len()).collect();
    for (i, byte) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, against) in other.iter().enumerate() {
            let replace = previous[j] + usize::from(byte != against);
            let mut least = replace.min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *byte == other[j - 1] && one[i - 1] == *against {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[other.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn edits_are_counted() {
        for (one, other, edits) in [
            ("main.c", "main.c", 0),
            ("mian.c", "main.c", 1),
            ("man.c", "main.c", 1),
            ("maim.c", "main.c", 1),
            ("", "ab", 2),
            ("a", "abcd", usize::MAX),
        ] {
            assert_eq!(distance(one.as_bytes(), other.as_bytes()), edits, "{one} {other}");
        }
    }
}
