/** CRC-32 in the format of S3's headers: base64 of the four big-endian bytes. */
export function crc32Base64(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}
