import type { PartUploaded } from '@backhaul/protocol';
import type { Upload } from '../uploads/upload.ts';

/** Parts that an agent reports as sent, each once; numbers beyond the plan are ignored at no cost. */
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
