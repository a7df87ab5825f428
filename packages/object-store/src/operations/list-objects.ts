import { requiredBucket, type Operation } from '../operation.ts';
import { listedContents } from '../request/listed-contents.ts';
import { commonPrefixes, nameEncoder, pageLimit } from '../request/listing.ts';

/** The older API, whose marker is the last name of the previous page. */
export const listObjects: Operation = async (request, { storage, ownerId }) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = storage.bucket(requiredBucket(request));
  const encode = nameEncoder(query);
  const limit = pageLimit(query, 'max-keys');
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const marker = query.get('marker') ?? '';
  // A marker that is a common prefix means the whole group.
  const afterGroup = delimiter !== '' && marker.length > prefix.length && marker.endsWith(delimiter);
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
        Contents: listedContents(bucket, entries, { encode, owner: ownerId }),
        CommonPrefixes: commonPrefixes(
          entries.filter(({ group }) => group).map(({ name }) => name),
          encode,
        ),
      },
    },
  };
};
