import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const entrySchema = z.object({
  operation: z.string().nullable(),
  key: z.string().nullable().optional(),
  part_number: z.int().nullable(),
  /** Null if the client disconnected during its request; a later disconnect loses the response. */
  status: z.int().nullable(),
  started_at_ms: z.number(),
  ended_at_ms: z.number(),
  bytes_in: z.int(),
});
export type AccessLogEntry = z.infer<typeof entrySchema>;

export async function readAccessLog(file: string): Promise<AccessLogEntry[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => entrySchema.parse(JSON.parse(line)));
}

/** Returns the maximum number of concurrent requests. */
export function mostAtOnce(entries: readonly AccessLogEntry[]): number {
  const changes = entries
    .flatMap((entry) => [
      { at: entry.started_at_ms, by: 1 },
      { at: entry.ended_at_ms, by: -1 },
    ])
    // A request that ends in the millisecond in which another starts does not overlap it.
    .sort((a, b) => a.at - b.at || a.by - b.by);
  let now = 0;
  let most = 0;
  for (const { by } of changes) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}
