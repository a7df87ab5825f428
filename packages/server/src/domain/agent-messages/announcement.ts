import {
  BackhaulError,
  type ChecksumMode,
  type PartAnnouncement,
  type PartPlan,
  partRange,
} from '@backhaul/protocol';
import type { TransferContext } from '../transfer-context.ts';
import type { Upload, UploadPart } from '../uploads/upload.ts';

type AnnouncedPart = Omit<UploadPart, 'etag'>;

/**
 * Checks announced parts against the plan: an agent gets URLs only for parts that exist, with exactly the length in
 * the plan and the checksum that the store will enforce.
 *
 * @throws BackhaulError `protocol_error`
 */
export function checkAnnouncement(
  plan: PartPlan,
  mode: ChecksumMode,
  parts: readonly PartAnnouncement[],
): AnnouncedPart[] {
  const seen = new Set<number>();
  return parts.map((part) => {
    const refuse = (problem: string) =>
      new BackhaulError('protocol_error', `The agent announced part ${part.part_number} ${problem}.`);
    if (part.part_number > plan.partCount) throw refuse(`but the file has ${plan.partCount}`);
    if (seen.has(part.part_number)) throw refuse('twice');
    seen.add(part.part_number);
    const { length } = partRange(plan, part.part_number);
    if (part.size !== length) throw refuse(`with ${part.size} bytes; the plan says ${length}`);
    if ((mode === 'sha256' || mode === 'md5') && part[mode] === undefined) {
      throw refuse(`without its ${mode}, which checksum_mode requires`);
    }
    return {
      partNumber: part.part_number,
      sizeBytes: part.size,
      crc32: part.crc32,
      sha256: part.sha256 ?? null,
      md5: part.md5 ?? null,
    };
  });
}

/**
 * Records announced parts. A part that is announced again, for a fresh URL or after an interruption, must be
 * unchanged: other bytes are another version of the file.
 *
 * @throws BackhaulError `file_changed`
 */
export async function recordParts(
  context: TransferContext,
  { uploadId, filePath }: Upload,
  parts: readonly AnnouncedPart[],
): Promise<void> {
  const changed = await context.store.announceParts(uploadId, parts);
  if (changed.length === 0) return;
  throw new BackhaulError(
    'file_changed',
    `${JSON.stringify(filePath)} changed during the upload: part ${changed[0]} is different now.`,
  );
}
