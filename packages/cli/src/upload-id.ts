import type { BackhaulClient } from '@backhaul/client';
import { BackhaulError, uploadIdSchema } from '@backhaul/protocol';
import { UsageError } from './usage-error.ts';

/** Number of uploads searched, newest first. Ids start with the time of creation. */
const SEARCHED = 10_000;

/**
 * Finds the upload whose id starts with `text`.
 *
 * @param text A whole id is returned unchanged, without a request.
 * @throws UsageError if several match; BackhaulError `upload_not_found` if none does.
 */
export async function findUploadId(
  client: BackhaulClient,
  text: string,
  signal: AbortSignal,
): Promise<string> {
  if (uploadIdSchema.safeParse(text).success) return text;
  const found: string[] = [];
  let searched = 0;
  for await (const { upload_id: id } of client.eachUpload({ limit: 500 }, { signal })) {
    if (id.startsWith(text)) found.push(id);
    if (found.length > 5 || ++searched >= SEARCHED) break;
  }
  const [id] = found;
  if (id !== undefined && found.length === 1) return id;
  if (id !== undefined) {
    const shown = found.slice(0, 5).join(', ');
    throw new UsageError(
      `Several upload ids start with ${text}: ${shown}${found.length > 5 ? ', …' : ''}.`,
      'Give more characters of the id.',
    );
  }
  const among = searched >= SEARCHED ? ` among the newest ${SEARCHED}` : '';
  throw new BackhaulError('upload_not_found', `No upload id starts with ${text}${among}.`);
}
