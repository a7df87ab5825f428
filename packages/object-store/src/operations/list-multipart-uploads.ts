import { requiredBucket, type Operation } from '../operation.ts';
import { commonPrefixes, nameEncoder, pageLimit } from '../request/listing.ts';
import type { MultipartUpload } from '../storage/multipart-upload.ts';
import { compareUtf8 } from '../storage/sorted-keys.ts';

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

export const listMultipartUploads: Operation = async (request, { storage, ownerId }) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = storage.bucket(requiredBucket(request));
  const encode = nameEncoder(query);
  const limit = pageLimit(query, 'max-uploads');
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const markers = { key: query.get('key-marker') ?? '', uploadId: query.get('upload-id-marker') ?? '' };
  // As in ListObjects, a marker that is a common prefix means the whole group.
  const afterGroup =
    delimiter !== '' &&
    markers.key.length > prefix.length &&
    markers.key.endsWith(delimiter) &&
    markers.uploadId === '';
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
        Upload: page.flatMap((entry) => {
          if ('group' in entry) return [];
          const { id, key, initiatedAtMs, properties, checksum } = entry.upload.record;
          return [
            {
              Key: encode(key),
              UploadId: id,
              Initiator: { ID: ownerId },
              Owner: { ID: ownerId },
              StorageClass: properties.storageClass,
              Initiated: new Date(initiatedAtMs).toISOString(),
              ChecksumAlgorithm: checksum?.algorithm,
              ChecksumType: checksum?.type,
            },
          ];
        }),
        CommonPrefixes: commonPrefixes(
          page.flatMap((entry) => ('group' in entry ? [entry.group] : [])),
          encode,
        ),
      },
    },
  };
};
