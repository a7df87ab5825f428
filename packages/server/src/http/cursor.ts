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
