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
 * Reads the whole object, keeps nothing of it, and compares it with all that the record says of the file.
 *
 * @throws BackhaulError `checksum_mismatch` if the store sends more or less than its own HEAD says; others when it
 *   does not send.
 */
export async function compareContent(
  record: UploadRecord,
  { client, signal, onProgress }: CompareContentOptions,
): Promise<Check[]> {
  const crc32 = crc32Digest();
  // Left out where the agent was told to leave it out: then there is nothing to compare it with.
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
