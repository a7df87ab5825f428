import { S3Error } from '../errors.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { MultipartUpload } from '../storage/multipart-upload.ts';
import { compareUtf8, type ListedKey } from '../storage/sorted-keys.ts';
import type { XmlElements } from '../xml.ts';
import { integerParameter, type Operation, requiredBucket } from './operation.ts';

/** The older API, whose marker is the last name of the previous page. */
export const listObjects: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = requiredBucket(request, context);
  const { encode, limit, prefix, delimiter } = listParameters(query, 'max-keys');
  const marker = query.get('marker') ?? '';
  const afterGroup = isGroup(marker, prefix, delimiter);
  const { entries, truncated } = bucket.list({ prefix, delimiter, after: marker, afterGroup, limit });
  const last = entries.at(-1);
  return {
    status: 200,
    body: {
      root: 'ListBucketResult',
      content: {
        Name: bucket.name,
        Prefix: encode(prefix),
        Marker: encode(marker),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        MaxKeys: limit,
        EncodingType: query.get('encoding-type'),
        IsTruncated: truncated,
        NextMarker: truncated && last !== undefined && delimiter !== '' ? encode(last.name) : undefined,
        ...listedKeys(bucket, entries, { encode, owner: context.ownerId }),
      },
    },
  };
};

export const listObjectsV2: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = requiredBucket(request, context);
  if (query.get('list-type') !== '2')
    throw new S3Error('InvalidArgument', 'Invalid List Type specified in Request');
  const { encode, limit, prefix, delimiter } = listParameters(query, 'max-keys');
  const startAfter = query.get('start-after');
  const token = query.get('continuation-token');
  const from = token === undefined ? { name: startAfter ?? '', group: false } : decodeToken(token);
  const { entries, truncated } = bucket.list({
    prefix,
    delimiter,
    after: from.name,
    afterGroup: from.group,
    limit,
  });
  const last = entries.at(-1);
  const owner = query.get('fetch-owner') === 'true' ? context.ownerId : undefined;
  return {
    status: 200,
    body: {
      root: 'ListBucketResult',
      content: {
        Name: bucket.name,
        Prefix: encode(prefix),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        MaxKeys: limit,
        EncodingType: query.get('encoding-type'),
        KeyCount: entries.length,
        IsTruncated: truncated,
        ContinuationToken: token,
        NextContinuationToken: truncated && last !== undefined ? encodeToken(last) : undefined,
        StartAfter: startAfter === undefined ? undefined : encode(startAfter),
        ...listedKeys(bucket, entries, { encode, owner }),
      },
    },
  };
};

/** Encodes the start of the next page: after a key, or after a whole common prefix. */
function encodeToken({ name, group }: ListedKey): string {
  return Buffer.from((group ? 'g' : 'k') + name).toString('base64url');
}

function decodeToken(token: string): ListedKey {
  const text = Buffer.from(token, 'base64url').toString('utf8');
  if (!/^[gk]/.test(text))
    throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect');
  return { name: text.slice(1), group: text.startsWith('g') };
}

interface KeyFormat {
  readonly encode: NameEncoder;
  /** Owner to include with each object, if any. */
  readonly owner: string | undefined;
}

/** Returns the elements for the keys and common prefixes of a page. */
function listedKeys(
  bucket: Bucket,
  entries: readonly ListedKey[],
  { encode, owner }: KeyFormat,
): XmlElements {
  const contents = entries.flatMap(({ name, group }) => {
    const summary = group ? undefined : bucket.summary(name);
    if (summary === undefined) return [];
    return [
      {
        Key: encode(name),
        LastModified: new Date(summary.lastModifiedMs).toISOString(),
        ETag: `"${summary.etag}"`,
        ChecksumAlgorithm: summary.checksum?.algorithm,
        ChecksumType: summary.checksum?.type,
        Size: summary.sizeBytes,
        StorageClass: summary.storageClass,
        Owner: owner === undefined ? undefined : { ID: owner },
      },
    ];
  });
  const groups = entries.filter(({ group }) => group);
  return { Contents: contents, CommonPrefixes: groups.map(({ name }) => ({ Prefix: encode(name) })) };
}

export const listMultipartUploads: Operation = async (request, context) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = requiredBucket(request, context);
  const { encode, limit, prefix, delimiter } = listParameters(query, 'max-uploads');
  const markers = { key: query.get('key-marker') ?? '', uploadId: query.get('upload-id-marker') ?? '' };
  const afterGroup = isGroup(markers.key, prefix, delimiter) && markers.uploadId === '';
  const rest = bucket
    .uploads()
    .filter(({ record }) => record.key.startsWith(prefix))
    .filter((upload) => isPast(upload, markers))
    .filter(({ record }) => !(afterGroup && record.key.startsWith(markers.key)));
  const entries = grouped(rest, prefix, delimiter);
  const page = entries.slice(0, limit);
  const truncated = limit > 0 && entries.length > page.length;
  const last = truncated ? page.at(-1) : undefined;
  const next =
    last === undefined || 'group' in last
      ? { key: last?.group, id: undefined }
      : { key: last.upload.record.key, id: last.upload.record.id };
  return {
    status: 200,
    body: {
      root: 'ListMultipartUploadsResult',
      content: {
        Bucket: bucket.name,
        KeyMarker: encode(markers.key),
        UploadIdMarker: markers.uploadId,
        NextKeyMarker: next.key === undefined ? undefined : encode(next.key),
        NextUploadIdMarker: next.id,
        Prefix: encode(prefix),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        EncodingType: query.get('encoding-type'),
        MaxUploads: limit,
        IsTruncated: truncated,
        Upload: page.flatMap((entry) =>
          'group' in entry ? [] : [listedUpload(entry.upload, { encode, owner: context.ownerId })],
        ),
        CommonPrefixes: page.flatMap((entry) => ('group' in entry ? [{ Prefix: encode(entry.group) }] : [])),
      },
    },
  };
};

interface Markers {
  readonly key: string;
  /** Empty: skip all uploads of the marked key. */
  readonly uploadId: string;
}

function isPast({ record }: MultipartUpload, { key, uploadId }: Markers): boolean {
  if (key === '') return true;
  const order = compareUtf8(record.key, key);
  return order > 0 || (order === 0 && uploadId !== '' && compareUtf8(record.id, uploadId) > 0);
}

type Entry = { readonly group: string } | { readonly upload: MultipartUpload };

/** Returns the entries in order, with uploads of a common prefix as one entry. */
function grouped(uploads: readonly MultipartUpload[], prefix: string, delimiter: string): Entry[] {
  const entries: Entry[] = [];
  let group: string | undefined;
  for (const upload of uploads) {
    const { key } = upload.record;
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut === -1) {
      entries.push({ upload });
      continue;
    }
    const name = key.slice(0, cut + delimiter.length);
    if (name !== group) entries.push({ group: (group = name) });
  }
  return entries;
}

function listedUpload({ record }: MultipartUpload, { encode, owner }: KeyFormat): XmlElements {
  return {
    Key: encode(record.key),
    UploadId: record.id,
    Initiator: { ID: owner },
    Owner: { ID: owner },
    StorageClass: record.properties.storageClass,
    Initiated: new Date(record.initiatedAtMs).toISOString(),
    ChecksumAlgorithm: record.checksum?.algorithm,
    ChecksumType: record.checksum?.type,
  };
}

type Query = ReadonlyMap<string, string>;

/** Returns names unchanged, or URL-encoded for clients that cannot represent them in XML. */
type NameEncoder = (name: string) => string;

/** Parameters that all listings of keys take. */
function listParameters(query: Query, limitName: string) {
  return {
    encode: nameEncoder(query),
    limit: pageLimit(query, limitName),
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
  };
}

export function nameEncoder(query: Query): NameEncoder {
  const encoding = query.get('encoding-type');
  if (encoding === undefined) return (name) => name;
  if (encoding !== 'url')
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  return formEncode;
}

/** Form encoding with unescaped slashes, which SDKs decode. */
function formEncode(name: string): string {
  return encodeURIComponent(name)
    .replaceAll(/[!'()]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%2F', '/')
    .replaceAll('%20', '+');
}

/** Returns the page size. Like S3, a page never has more than 1,000 entries. */
export function pageLimit(query: Query, name: string): number {
  return Math.min(1000, integerParameter(query, name, { min: 0, max: 2_147_483_647 }) ?? 1000);
}

/** Whether a marker is a common prefix, which means the whole group, and not a key. */
function isGroup(marker: string, prefix: string, delimiter: string): boolean {
  return delimiter !== '' && marker.length > prefix.length && marker.endsWith(delimiter);
}
