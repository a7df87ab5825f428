import type { BackhaulClient } from '@backhaul/client';
import { BackhaulError, uploadIdSchema } from '@backhaul/protocol';
import { UsageError } from './usage-error.ts';

/** Ids begin with the time, so they are looked for among the newest. */
const SEARCHED = 10_000;

/**
 * The upload whose id begins so.
 *
 * @param text Whole ids are taken as they are, without a request.
 * @throws UsageError if several do; BackhaulError `upload_not_found`
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
      `Several uploads begin with ${text}: ${shown}${found.length > 5 ? ', …' : ''}.`,
      'Give more of the id.',
    );
  }
  const among = searched >= SEARCHED ? ` among the newest ${SEARCHED}` : '';
  throw new BackhaulError('upload_not_found', `No upload begins with ${text}${among}.`);
}
