import { S3Error } from '../errors.ts';

/** Header names in lower case; values as received (one byte per character), repeated ones joined with a comma. */
export type RequestHeaders = ReadonlyMap<string, string>;

/** Must not be repeated: two readers could interpret the same request differently. */
const SINGLE = new Set(['authorization', 'content-length', 'content-md5', 'content-type', 'host', 'range']);

/** Uses the raw list, because Node's parsed object silently drops repeated headers that the signature covers. */
export function collectHeaders(rawHeaders: readonly string[]): RequestHeaders {
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase();
    const value = (rawHeaders[at + 1] ?? '').trim();
    const earlier = headers.get(name);
    if (earlier !== undefined && SINGLE.has(name)) {
      throw new S3Error('InvalidRequest', `The header ${name} occurs more than once.`);
    }
    headers.set(name, earlier === undefined ? value : `${earlier},${value}`);
  }
  return headers;
}
