import {
  BackhaulError,
  type ChecksumMode,
  type PartAnnouncement,
  type PartPlan,
  partRange,
} from '@backhaul/protocol';
import type { UploadPart } from '../uploads/upload.ts';

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
): Omit<UploadPart, 'etag'>[] {
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
