//! An address with the size of the network that it is in, as `10.0.0.5/24`.

use crate::error::{Error, Kind, Result};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub bits: u8,
}

impl Network {
    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let bits = self.bits.min(other.bits);
        match (self.address, other.address) {
            (IpAddr::V4(one), IpAddr::V4(two)) => {
                u32::from(one).checked_shr(32 - u32::from(bits)).unwrap_or(0)
                    == u32::from(two).checked_shr(32 - u32::from(bits)).unwrap_or(0)
            }
            (IpAddr::V6(one), IpAddr::V6(two)) => {
                u128::from(one).checked_shr(128 - u32::from(bits)).unwrap_or(0)
                    == u128::from(two).checked_shr(128 - u32::from(bits)).unwrap_or(0)
            }
            _ => false,
        }
    }

    /// The bits of the network alone, as bytes.
    pub fn mask(&self) -> Vec<u8> {
        let length = if self.address.is_ipv4() { 4 } else { 16 };
        (0..length).map(|at: u8| (0xff00u16 >> self.bits.saturating_sub(at * 8).min(8)) as u8).collect()
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
        });
        parsed.ok_or_else(|| Error::new(Kind::Request, format!("{text:?} is not ADDRESS/BITS")))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Reads `02:42:ac:11:00:02`.
pub fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(byte_of).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Error::new(Kind::Request, format!("{text:?} is not a hardware address")))
}

/// Two hexadecimal digits; `from_str_radix` alone would take a sign as well.
fn byte_of(text: &str) -> Option<u8> {
    let fine = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(text, 16).ok().filter(|_| fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_where_they_share_an_address() {
        let of = |text: &str| text.parse::<Network>().unwrap();
        for (one, two, expected) in [
            ("10.0.0.0/8", "10.89.1.0/24", true),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("0.0.0.0/0", "10.0.1.0/24", true),
            ("fd00::/64", "fd00::5/128", true),
            ("fd00::/64", "fd01::/64", false),
            ("fd00::/64", "10.0.0.0/8", false),
        ] {
            assert_eq!(of(one).overlaps(&of(two)), expected, "{one} {two}");
            assert_eq!(of(two).overlaps(&of(one)), expected, "{two} {one}");
        }
        for text in ["10.0.0.1", "10.0.0.1/33", "fd00::/129", "/8", "a/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn masks_have_as_many_bits() {
        let of = |text: &str| text.parse::<Network>().unwrap().mask();
        assert_eq!(of("10.0.0.0/0"), [0, 0, 0, 0]);
        assert_eq!(of("10.0.0.0/20"), [255, 255, 240, 0]);
        assert_eq!(of("10.0.0.0/32"), [255; 4]);
        assert_eq!(of("fd00::/60")[..9], [255, 255, 255, 255, 255, 255, 255, 240, 0]);
    }

    #[test]
    fn hardware_addresses_are_read() {
        assert_eq!(parse_mac("02:42:ac:11:00:Ff").unwrap(), [2, 0x42, 0xac, 0x11, 0, 255]);
        for text in ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2", "02:42:ac:11:00:+2"] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
    }
}
