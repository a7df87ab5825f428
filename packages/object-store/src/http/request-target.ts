import { S3Error } from '../errors.ts';

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
