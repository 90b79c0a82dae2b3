/** tar, gzip, bzip2, xz, zstd, by their magic numbers. */
export function looksLikeArchive(head: Uint8Array): boolean {
  const starts = (...bytes: number[]): boolean => bytes.every((byte, at) => head[at] === byte)
  return (
    Buffer.from(head.subarray(257, 262)).toString('latin1') === 'ustar' ||
    starts(0x1f, 0x8b) ||
    starts(0x42, 0x5a, 0x68) ||
    starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0) ||
    starts(0x28, 0xb5, 0x2f, 0xfd)
  )
}
