import { z } from 'zod';

/** Capability of agents that support `limits` in `prepare_upload`. */
export const UPLOAD_LIMITS_CAPABILITY = 'upload_limits';

/** Minimum rate in bytes per second; with less, a part would take days. */
export const MIN_RATE = 1024;

const fields = {
  parallel_parts: z.int().min(1).max(64).meta({ description: 'Maximum simultaneous PUTs of the upload.' }),
  max_rate: z.int().min(MIN_RATE).meta({ description: 'Maximum bytes per second of the upload.' }),
};

/** Limits of an upload. The limits set on the agent's machine always apply as well. */
export const uploadLimitsSchema = z
  .object({ parallel_parts: fields.parallel_parts.optional(), max_rate: fields.max_rate.optional() })
  .meta({
    description:
      'Limits of an upload; an absent value means no limit. They can only lower the agent’s own limits (`--parallel-parts`, `--max-rate`).',
  });
export type UploadLimits = z.infer<typeof uploadLimitsSchema>;

/** The same for requests; strict, so that a typo does not remove a limit. */
export const uploadLimitsRequestSchema = z
  .strictObject({ parallel_parts: fields.parallel_parts.optional(), max_rate: fields.max_rate.optional() })
  .meta({ id: 'UploadLimitsRequest' });

/** Units as in rclone: k is 1024. */
const units: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** Parses a rate such as `250000`, `512k` or `1.5M` to bytes per second; undefined if it is invalid or below {@link MIN_RATE}. */
export function parseByteRate(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,15}(?:\.\d{1,3})?)([bkmg]?)$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const rate = Math.round(Number(digits) * (units[unit.toLowerCase()] ?? Number.NaN));
  return rate >= MIN_RATE && rate <= Number.MAX_SAFE_INTEGER ? rate : undefined;
}
