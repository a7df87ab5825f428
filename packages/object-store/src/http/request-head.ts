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

/** Path and query of a request, decoded once and never normalised: `a/../b` is an ordinary key. */
export interface RequestTarget {
  /** Undefined for the service itself (`/`). */
  readonly bucket: string | undefined;
  /** Undefined for the bucket itself (`/bucket` and `/bucket/`). */
  readonly key: string | undefined;
  /** Decoded path, `/`-separated, for the canonical request. */
  readonly path: string;
  /** Decoded parameters in received order. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>;
}

const KEY_LIMIT_BYTES = 1024;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidURI');
  }
}

/** @param rawTarget the target of the request line, i.e. `IncomingMessage.url` */
export function parseRequestTarget(rawTarget: string): RequestTarget {
  // Only origin form; raw non-ASCII characters would make the signed bytes ambiguous.
  if (!/^\/[\u0021-\u007e]*$/.test(rawTarget)) throw new S3Error('InvalidURI');
  const mark = rawTarget.indexOf('?');
  const path = decode(mark === -1 ? rawTarget : rawTarget.slice(0, mark));
  const query = (mark === -1 ? '' : rawTarget.slice(mark + 1))
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const [name, value] = equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return [decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' '))] as const;
    });
  const slash = path.indexOf('/', 1);
  const bucket = slash === -1 ? path.slice(1) : path.slice(1, slash);
  const key = slash === -1 ? '' : path.slice(slash + 1);
  if (bucket === '' && key !== '') throw new S3Error('InvalidBucketName');
  if (Buffer.byteLength(key) > KEY_LIMIT_BYTES) throw new S3Error('KeyTooLongError');
  return { bucket: bucket || undefined, key: key || undefined, path, query };
}

type RequestQuery = ReadonlyMap<string, string>;

/** Refuses repeated parameters: signer and store could interpret them differently. */
export function singleQuery(target: RequestTarget): RequestQuery {
  const query = new Map<string, string>();
  for (const [name, value] of target.query) {
    if (query.has(name)) {
      throw new S3Error('InvalidArgument', `The query parameter "${name}" occurs more than once.`);
    }
    query.set(name, value);
  }
  return query;
}

const SIGNATURE_PARAMETER = /^X-Amz-(?:Algorithm|Credential|Date|Expires|SignedHeaders|Signature)$/;

/** Presigning SDKs move `x-amz-*` headers into the signed query; they are treated like headers. */
export function hoistQuery(
  headers: RequestHeaders,
  query: RequestQuery,
): { readonly headers: RequestHeaders; readonly query: RequestQuery } {
  const merged = new Map(headers);
  const kept = new Map<string, string>();
  for (const [name, value] of query) {
    const header = name.toLowerCase();
    if (!header.startsWith('x-amz-') || SIGNATURE_PARAMETER.test(name)) {
      kept.set(name, value);
      continue;
    }
    if (merged.has(header)) {
      throw new S3Error('InvalidArgument', `${header} is given both as a header and in the query.`);
    }
    // Headers cannot contain these characters, and the value may be returned as a header later.
    // oxlint-disable-next-line no-control-regex -- matches control characters on purpose
    if (!/^[a-z0-9-_.]+$/.test(header) || /[\u0000-\u001f\u007f]/.test(value)) {
      throw new S3Error('InvalidArgument', `The query parameter "${name}" cannot be used as a header.`);
    }
    merged.set(header, Buffer.from(value, 'utf8').toString('latin1'));
  }
  return { headers: merged, query: kept };
}
