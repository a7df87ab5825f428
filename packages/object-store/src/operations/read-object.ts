import { checksumHeader } from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import type { OpenObject } from '../storage/bucket.ts';
import { type ByteRange, type ObjectManifest, readObjectBytes, summarize } from '../storage/stored-object.ts';
import { checkReadConditions } from './conditions.ts';
import {
  integerParameter,
  MAX_PARTS,
  type Operation,
  type OperationContext,
  requiredBucket,
  requiredKey,
  type S3Request,
} from './operation.ts';
import { propertyHeaders } from './properties.ts';

export const getObject: Operation = async (request, context) => {
  const { object, range, status, headers } = await startReading(request, context);
  return { status, headers, body: { sizeBytes: range.sizeBytes, chunks: readAndRelease(object, range) } };
};

export const headObject: Operation = async (request, context) => {
  const { object, range, status, headers } = await startReading(request, context);
  object[Symbol.dispose]();
  return { status, headers, body: { sizeBytes: range.sizeBytes, chunks: undefined } };
};

/** Releases the object when the bytes are sent or the client disconnects. */
async function* readAndRelease(
  object: OpenObject,
  range: ByteRange,
): AsyncGenerator<Buffer, void, undefined> {
  using held = object;
  yield* readObjectBytes(held.manifest.parts, range, held.pin);
}

/** Common to GET and HEAD: the open object, the requested bytes, and the headers of the response. */
interface ObjectReading {
  readonly object: OpenObject;
  readonly range: ByteRange;
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** @throws S3Error NoSuchKey, NotModified, PreconditionFailed, InvalidRange, … */
async function startReading(request: S3Request, context: OperationContext): Promise<ObjectReading> {
  await request.body.expectEmpty();
  const object = await requiredBucket(request, context).open(requiredKey(request));
  try {
    const { manifest } = object;
    checkReadConditions(request.headers, summarize(manifest));
    const part = requestedRange(request, manifest);
    const range = part ?? { start: 0, sizeBytes: manifest.sizeBytes };
    const last = range.start + range.sizeBytes - 1;
    const wantsChecksum = request.headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED';
    return {
      object,
      range,
      status: part === undefined ? 200 : 206,
      headers: {
        ...propertyHeaders(manifest),
        ...overrides(request.query),
        'accept-ranges': 'bytes',
        'last-modified': new Date(manifest.lastModifiedMs).toUTCString(),
        etag: `"${manifest.etag}"`,
        // An empty part has no last byte, so it has no content-range.
        'content-range':
          part === undefined || part.sizeBytes === 0
            ? undefined
            : `bytes ${range.start}-${last}/${manifest.sizeBytes}`,
        'x-amz-mp-parts-count':
          request.query.has('partNumber') && manifest.multipart ? String(manifest.parts.length) : undefined,
        // The checksum covers the whole object, so it is sent only with the whole object.
        ...(wantsChecksum && part === undefined ? checksumHeaders(manifest) : {}),
      },
    };
  } catch (error) {
    object[Symbol.dispose]();
    throw error;
  }
}

function requestedRange(request: S3Request, manifest: ObjectManifest): ByteRange | undefined {
  const number = integerParameter(request.query, 'partNumber', { min: 1, max: MAX_PARTS });
  const header = request.headers.get('range');
  if (number !== undefined) {
    if (header !== undefined) {
      throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter');
    }
    return partRange(manifest, number);
  }
  const ifRange = request.headers.get('if-range');
  if (ifRange !== undefined && ifRange !== `"${manifest.etag}"`) return undefined;
  return parseRange(header, manifest.sizeBytes);
}

/** Returns the range of part `number`. Numbers are those of the upload, which may have gaps. */
function partRange({ parts }: ObjectManifest, number: number): ByteRange {
  let start = 0;
  for (const part of parts) {
    if (part.number === number) return { start, sizeBytes: part.sizeBytes };
    start += part.sizeBytes;
  }
  throw new S3Error('InvalidPartNumber');
}

/**
 * Parses a `Range` header with one range. Multiple ranges, other units and malformed headers are ignored, as RFC 9110
 * allows and S3 does: the whole object is sent.
 * @throws S3Error InvalidRange if the range contains no byte of the object
 */
function parseRange(header: string | undefined, totalBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const start = first === '' ? Math.max(0, totalBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? totalBytes : Math.min(totalBytes, Number(last) + 1);
  if (start >= end) {
    throw new S3Error('InvalidRange', undefined, {
      RangeRequested: header ?? '',
      ActualObjectSize: String(totalBytes),
    });
  }
  return { start, sizeBytes: end - start };
}

/** Overrides are safe because every request is signed, including its query. */
function overrides(query: ReadonlyMap<string, string>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of query) {
    if (!name.startsWith('response-') || value === '') continue;
    // oxlint-disable-next-line no-control-regex -- a line break would start another header
    if (/[\u0000-\u001f\u007f]/.test(value))
      throw new S3Error('InvalidArgument', `${name} contains a control character.`);
    headers[name.slice('response-'.length)] = Buffer.from(value, 'utf8').toString('latin1');
  }
  return headers;
}

function checksumHeaders({ checksum }: ObjectManifest): Record<string, string> {
  if (checksum === undefined) return {};
  return { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type };
}
