import { BackhaulError } from '@backhaul/protocol';
import type { z } from 'zod';

/**
 * Cursors are opaque to clients: a position, as base64url of JSON. They contain nothing secret and are validated like
 * any other input.
 */
export function encodeCursor(position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/** @throws BackhaulError `invalid_request` */
export function decodeCursor<Schema extends z.ZodType>(cursor: string, schema: Schema): z.infer<Schema> {
  try {
    return schema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
  } catch (error) {
    throw new BackhaulError('invalid_request', 'cursor: not issued by this server', { cause: error });
  }
}

/**
 * A page of at most `limit` rows and the cursor of the next page, null for the last one.
 *
 * @param found Rows of a query for `limit + 1`: one more shows that there is a next page.
 */
export function pageOf<Row>(
  found: readonly Row[],
  limit: number,
  positionOf: (last: Row) => readonly (string | number)[],
): { page: readonly Row[]; nextCursor: string | null } {
  const page = found.slice(0, limit);
  const last = found.length > limit ? page.at(-1) : undefined;
  return { page, nextCursor: last === undefined ? null : encodeCursor(positionOf(last)) };
}
