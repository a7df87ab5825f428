import type { IncomingHttpHeaders } from 'node:http';
import { BackhaulError } from '@backhaul/protocol';

/**
 * The token of `Authorization: Bearer` (RFC 6750, section 2.1); never one from the query, which ends up in logs.
 *
 * @param what Subject of the error's sentence, e.g. `The request`.
 * @throws BackhaulError `unauthorized`
 */
export function bearerToken(headers: IncomingHttpHeaders, what: string): string {
  const match = /^Bearer +([^\s]+)$/i.exec(headers.authorization ?? '');
  if (match?.[1] === undefined) {
    throw new BackhaulError('unauthorized', `${what} needs the header Authorization: Bearer TOKEN.`, {
      reason: 'token_missing',
    });
  }
  return match[1];
}
