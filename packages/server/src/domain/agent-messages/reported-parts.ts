import type { PartUploaded } from '@backhaul/protocol';
import type { Upload } from '../uploads/upload.ts';

/** What an agent reports as sent, once for each part; numbers beyond the plan are of no part and cost nothing. */
export function reportedParts(
  { partCount }: Upload,
  parts: PartUploaded['parts'],
): { readonly partNumber: number; readonly etag: string }[] {
  const etags = new Map<number, string>();
  for (const { part_number: partNumber, etag } of parts) {
    if (partCount !== null && partNumber <= partCount) etags.set(partNumber, etag);
  }
  return Array.from(etags, ([partNumber, etag]) => ({ partNumber, etag }));
}
