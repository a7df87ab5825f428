import { z } from 'zod';

/** Agents that announce it take `limits` in `prepare_upload`. */
export const UPLOAD_LIMITS_CAPABILITY = 'upload_limits';

/** Below that a part takes days. Bytes per second. */
export const MIN_RATE = 1024;

const fields = {
  parallel_parts: z.int().min(1).max(64).meta({ description: 'PUTs of the upload at once, at most.' }),
  max_rate: z.int().min(MIN_RATE).meta({ description: 'Bytes per second of the upload, at most.' }),
};

/** How fast an upload may go. Whatever is set, the agent keeps to its owner's limits as well. */
export const uploadLimitsSchema = z
  .object({ parallel_parts: fields.parallel_parts.optional(), max_rate: fields.max_rate.optional() })
  .meta({
    description:
      'How fast an upload may go; what is absent is not limited. It can only lower what the owner of the agent allows (`--parallel-parts`, `--max-rate`).',
  });
export type UploadLimits = z.infer<typeof uploadLimitsSchema>;

/** The same in requests, where a typo must not lift a limit. */
export const uploadLimitsRequestSchema = z
  .strictObject({ parallel_parts: fields.parallel_parts.optional(), max_rate: fields.max_rate.optional() })
  .meta({ id: 'UploadLimitsRequest' });

/** As rclone counts: k is 1024. */
const units: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** Bytes per second, of a text such as `250000`, `512k` or `1.5M`; undefined if it is none, or below {@link MIN_RATE}. */
export function parseByteRate(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,15}(?:\.\d{1,3})?)([bkmg]?)$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const rate = Math.round(Number(digits) * (units[unit.toLowerCase()] ?? Number.NaN));
  return rate >= MIN_RATE && rate <= Number.MAX_SAFE_INTEGER ? rate : undefined;
}
