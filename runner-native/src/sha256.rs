//! SHA-256, the digest that names everything here (image-spec, "Digests").
//!
//! ring's assembly is twice as fast as portable code on processors without instructions for it, and hashing is the
//! limit of unpacking and of making layers.

use ring::digest::{Context, SHA256};

pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes.as_ref());
    }

    pub fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }

    /// As descriptors have it: `sha256:…`.
    pub fn name(self) -> String {
        format!("sha256:{}", hex(&self.finish()))
    }

    /// Of all bytes at once.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Self::new();
        hasher.update(bytes);
        hasher
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4, the examples of NIST.
    #[test]
    fn it_is_sha256() {
        for (text, digest) in [
            ("", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(Sha256::of(text).name(), digest);
        }
    }
}
