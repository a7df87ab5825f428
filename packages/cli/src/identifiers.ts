import type { BackhaulClient } from '@backhaul/client';
import { similarName } from '@backhaul/program';
import { BackhaulError, clientIdSchema, uploadIdSchema } from '@backhaul/protocol';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { UsageError } from './errors.ts';

/** Number of uploads searched, newest first. Ids start with the time of creation. */
const SEARCHED_UPLOADS = 10_000;

/** Enough for most fleets; searching more is not worth the wait after a typing error. */
const SEARCHED_CLIENTS = 5000;

export const clientIdOption = (description: string) =>
  new Option('--client-id <id>', description).argParser(parseClientId);

export function parseClientId(text: string): string {
  const parsed = clientIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(
    'A client_id is 1 to 64 letters, digits, dots, underscores and hyphens, and starts with a letter or digit.',
  );
}

/** Returns the known client_id most similar to an unknown one; undefined without the scope `read`. */
export async function suggestClient(
  client: BackhaulClient,
  given: unknown,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (typeof given !== 'string') return undefined;
  const names: string[] = [];
  try {
    for await (const { client_id } of client.eachClient({ limit: 500 }, { signal })) {
      names.push(client_id);
      if (names.length >= SEARCHED_CLIENTS) break;
    }
  } catch {
    // The suggestion is optional: the original error is reported without it.
    return undefined;
  }
  return similarName(given, names);
}

export const uploadIdArgument = () =>
  new Argument('<id>', 'the upload_id, or a prefix of it that matches only one upload').argParser(
    parseUploadId,
  );

/** Accepts a whole upload_id or its first 4 or more characters. */
export function parseUploadId(text: string): string {
  const id = text.toLowerCase();
  if (uploadIdSchema.safeParse(id).success || /^[0-9a-f-]{4,35}$/.test(id)) return id;
  throw new InvalidArgumentError(
    'An upload_id is a UUIDv7, as "backhaul uploads" prints it, or at least its first 4 characters.',
  );
}

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
    if (found.length > 5 || ++searched >= SEARCHED_UPLOADS) break;
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
  const among = searched >= SEARCHED_UPLOADS ? ` among the newest ${SEARCHED_UPLOADS}` : '';
  throw new BackhaulError('upload_not_found', `No upload id starts with ${text}${among}.`);
}
