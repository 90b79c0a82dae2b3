//! Signals by name, and those that are passed on to the container.

use crate::error::{Error, Kind, Result};

const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

const LARGEST: i32 = 64;
/// The first that programs may use; 32 and 33 are the C library's.
const FIRST_REAL_TIME: i32 = 34;

/// `SIGTERM`, `term`, `15`, `RTMIN+3`, `RTMAX-1`; as stave itself reads them (fixtures/signals.json has the cases).
pub fn parse(text: &str) -> Result<i32> {
    let typed = text.trim().to_ascii_uppercase();
    let number = match digits(&typed) {
        Some(number) => Some(number),
        None => named(typed.strip_prefix("SIG").unwrap_or(&typed)),
    };
    match number {
        Some(number) if (1..=LARGEST).contains(&number) => Ok(number),
        _ => Err(Error::new(Kind::Request, format!("unknown signal {text:?}"))),
    }
}

/// A number without a sign.
fn digits(text: &str) -> Option<i32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn named(name: &str) -> Option<i32> {
    // From the one end up, from the other down, and not past the other.
    let offset = |rest: &str, sign: char| if rest.is_empty() { Some(0) } else { digits(rest.strip_prefix(sign)?) };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        FIRST_REAL_TIME.checked_add(offset(rest, '+')?)?
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        LARGEST - offset(rest, '-')?
    } else {
        return NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    };
    (FIRST_REAL_TIME..=LARGEST).contains(&number).then_some(number)
}

/// Whether a program that does nothing about this signal would end by it at a caller's wish.
pub fn ends(signal: i32) -> bool {
    matches!(signal, libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM | libc::SIGKILL)
}

/// What is passed on: everything that asks for something, not what tells this process of its own affairs (children,
/// broken pipes, the terminal's size) or stops it.
pub fn forwarded() -> Vec<i32> {
    let own = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGCONT,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGVTALRM,
        libc::SIGPROF,
    ];
    own.into_iter().chain(FIRST_REAL_TIME..=LARGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_stave_reads_them() {
        let cases: Vec<(String, Option<i32>)> = serde_json::from_str(include_str!("../../../fixtures/signals.json")).unwrap();
        for (text, number) in cases {
            assert_eq!(parse(&text).ok(), number, "{text:?}");
        }
    }
}
