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
 * Checks announced parts against the plan: an agent gets URLs only for parts that exist, of the very length the
 * plan gives them, with the checksum the store will enforce.
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
    if (part.part_number > plan.partCount) throw refuse(`of a file of ${plan.partCount}`);
    if (seen.has(part.part_number)) throw refuse('twice');
    seen.add(part.part_number);
    const { length } = partRange(plan, part.part_number);
    if (part.size !== length) throw refuse(`with ${part.size} bytes; by the plan it has ${length}`);
    if ((mode === 'sha256' || mode === 'md5') && part[mode] === undefined) {
      throw refuse(`without its ${mode}, which checksum_mode asked for`);
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
 * Puts announced parts on record. A part that is announced again, for a fresh URL or after an interruption, has to be
 * the part it was: other bytes are another version of the file.
 *
 * @throws BackhaulError `file_changed`
 */
export async function putOnRecord(
  context: TransferContext,
  { uploadId, filePath }: Upload,
  parts: readonly AnnouncedPart[],
): Promise<void> {
  const changed = await context.store.announceParts(uploadId, parts);
  if (changed.length === 0) return;
  throw new BackhaulError(
    'file_changed',
    `${JSON.stringify(filePath)} changed during the pull: part ${changed[0]} is no longer what it was.`,
  );
}
