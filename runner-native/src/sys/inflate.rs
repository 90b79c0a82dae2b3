//! One member of a gzip file at once, and how much of the file it was.

use libdeflate_sys as deflate;

/// What inflates.
pub struct Inflater(*mut deflate::libdeflate_decompressor);

/// Why a member is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It inflates to more than there is room for.
    Room,
    /// It is damaged, or no member.
    Data,
}

impl Inflater {
    /// `None` without memory.
    pub fn new() -> Option<Self> {
        // SAFETY: it takes nothing, and gives an owned pointer or null.
        let made = unsafe { deflate::libdeflate_alloc_decompressor() };
        (!made.is_null()).then_some(Self(made))
    }

    /// Inflates the first member of `from` into the beginning of `into`. Gives how many bytes of each it took.
    ///
    /// # Errors
    /// [`Failure`]; `into` then holds anything.
    pub fn member(&mut self, from: &[u8], into: &mut [u8]) -> Result<(usize, usize), Failure> {
        let (mut read, mut written) = (0, 0);
        // SAFETY: the pointers are those of two slices with their lengths, the decompressor is this value's own.
        let result = unsafe {
            let (input, output) = (from.as_ptr().cast(), into.as_mut_ptr().cast());
            deflate::libdeflate_gzip_decompress_ex(self.0, input, from.len(), output, into.len(), &raw mut read, &raw mut written)
        };
        match result {
            deflate::libdeflate_result_LIBDEFLATE_SUCCESS => Ok((read, written)),
            deflate::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Err(Failure::Room),
            _ => Err(Failure::Data),
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the same library, and is used no more.
        unsafe { deflate::libdeflate_free_decompressor(self.0) };
    }
}
