import type { BackhaulClient } from '@backhaul/client';
import { crc32Digest, readContent, sha256Digest } from '@backhaul/client/content';
import type { UploadRecord } from '@backhaul/protocol';
import type { Check } from './verification-report.ts';

export interface CompareContentOptions {
  readonly client: BackhaulClient;
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Reads the whole object without storing it, and compares it with size and checksums in the record.
 *
 * @throws BackhaulError `checksum_mismatch` if the store sends more or fewer bytes than its HEAD reports; other errors
 *   if it cannot be read.
 */
export async function compareContent(
  record: UploadRecord,
  { client, signal, onProgress }: CompareContentOptions,
): Promise<Check[]> {
  const crc32 = crc32Digest();
  // Agents can be configured to skip SHA-256; then there is nothing to compare with.
  const sha256 = record.sha256 === null ? undefined : sha256Digest();
  let received = 0;
  const compareChunk = async (chunk: Uint8Array): Promise<void> => {
    crc32.update(chunk);
    sha256?.update(chunk);
    received += chunk.length;
  };
  await readContent(client, record, compareChunk, { signal, onProgress });
  return [
    compare('size', String(record.size ?? 0), String(received)),
    compare('crc32', record.checksum?.value ?? null, crc32.value()),
    compare('sha256', record.sha256, sha256?.value() ?? null),
  ];
}

function compare(name: string, expected: string | null, found: string | null): Check {
  return { name, ok: expected === null || found === null ? null : expected === found, expected, found };
}
