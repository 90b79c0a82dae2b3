//! Messages of the domain name system: reading a question, writing an answer. RFC 1035.

use std::net::IpAddr;

pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
const ANY: u16 = 255;
const INTERNET: u16 = 1;
const HEADER_BYTES: usize = 12;
/// A container may come back with another address at once.
const TTL_SECONDS: u32 = 5;

/// The one question of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// In lower case, without a dot at the end.
    pub name: String,
    pub kind: u16,
    /// Where it ends in the message.
    end: usize,
}

/// What is answered.
pub enum Answer<'a> {
    /// Addresses of the name; with none of the kind that is asked for, the name is there all the same.
    Addresses(&'a [IpAddr]),
    Name(&'a str),
    /// There is no such name.
    Nothing,
    /// Nobody could be asked.
    Failed,
}

/// Reads a question. `None`: what only a full server can answer, or no question at all.
pub fn question(message: &[u8]) -> Option<Question> {
    let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let (flags, count) = (word(2)?, word(4)?);
    let opcode = flags >> 11 & 0xf;
    if flags & 0x8000 != 0 || opcode != 0 || count != 1 {
        return None;
    }
    let mut labels: Vec<String> = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Pointers have no place in a question: there is nothing before it.
        if length > 63 {
            return None;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let (kind, class) = (word(at)?, word(at + 2)?);
    (class == INTERNET).then(|| Question { name: labels.join("."), kind, end: at + 4 })
}

/// Writes the answer to a question that was read of `message`.
pub fn answer(message: &[u8], question: &Question, answer: &Answer<'_>) -> Vec<u8> {
    let mut records: Vec<(u16, Vec<u8>)> = Vec::new();
    match answer {
        Answer::Addresses(addresses) => records.extend(addresses.iter().filter_map(|address| match (address, question.kind) {
            (IpAddr::V4(address), A | ANY) => Some((A, address.octets().to_vec())),
            (IpAddr::V6(address), AAAA | ANY) => Some((AAAA, address.octets().to_vec())),
            _ => None,
        })),
        Answer::Name(name) if question.kind == PTR => records.push((PTR, name_bytes(name))),
        _ => {}
    }
    let code = match answer {
        Answer::Failed => 2,
        Answer::Nothing => 3,
        _ => 0,
    };
    let mut reply = message[..question.end].to_vec();
    // An answer, with recursion as it was asked for and as it can be had.
    reply[2] = 0x80 | message[2] & 0x01 | if matches!(answer, Answer::Addresses(_) | Answer::Name(_)) { 0x04 } else { 0 };
    reply[3] = 0x80 | code;
    reply[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    reply[8..HEADER_BYTES].fill(0);
    for (kind, data) in records {
        // The name is that of the question, which begins right behind the header.
        reply.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&INTERNET.to_be_bytes());
        reply.extend_from_slice(&TTL_SECONDS.to_be_bytes());
        reply.extend_from_slice(&(data.len() as u16).to_be_bytes());
        reply.extend_from_slice(&data);
    }
    reply
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` is about.
pub fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = rest.split('.').rev().map(str::parse).collect::<Result<_, _>>().ok()?;
        return <[u8; 4]>::try_from(parts).ok().map(IpAddr::from);
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let digits: Vec<u8> = rest.split('.').rev().map(|digit| u8::from_str_radix(digit, 16)).collect::<Result<_, _>>().ok()?;
    if digits.len() != 32 || digits.iter().any(|digit| *digit > 15) {
        return None;
    }
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(name_bytes(name));
        message.extend(kind.to_be_bytes());
        message.extend(1u16.to_be_bytes());
        message
    }

    #[test]
    fn a_question_is_answered_with_addresses_of_its_kind() {
        let addresses = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        for (kind, bytes) in [(A, &[10, 0, 0, 2][..]), (AAAA, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2][..])] {
            let message = asked("Web.Example", kind);
            let question = question(&message).unwrap();
            assert_eq!(question.name, "web.example");
            let reply = answer(&message, &question, &Answer::Addresses(&addresses));
            assert_eq!(reply[..2], message[..2]);
            assert_eq!(reply[2..8], [0x85, 0x80, 0, 1, 0, 1]);
            assert!(reply.ends_with(bytes));
        }
        let message = asked("web", 16);
        let reply = answer(&message, &question(&message).unwrap(), &Answer::Addresses(&addresses));
        assert_eq!((reply[3] & 15, reply[7]), (0, 0));
        let reply = answer(&message, &question(&message).unwrap(), &Answer::Nothing);
        assert_eq!((reply[3] & 15, reply[7]), (3, 0));
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let good = asked("web", A);
        for at in 0..good.len() {
            assert_eq!(question(&good[..at]), None, "cut at {at}");
        }
        for (at, byte) in [(2, 0x81), (2, 0x09), (5, 2), (12, 0xc0), (12, 64), (good.len() - 1, 3)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(question(&bad), None, "{at}");
        }
    }

    #[test]
    fn addresses_are_read_of_reverse_names() {
        assert_eq!(reverse("2.0.89.10.in-addr.arpa"), Some("10.89.0.2".parse().unwrap()));
        let six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reverse(six), Some("fd00::2".parse().unwrap()));
        for name in ["in-addr.arpa", "1.2.3.in-addr.arpa", "a.0.0.0.in-addr.arpa", "2.ip6.arpa", "web"] {
            assert_eq!(reverse(name), None, "{name}");
        }
    }
}
