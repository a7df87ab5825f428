import { S3Error } from '../errors.ts';
import { requiredBucket, type Operation } from '../operation.ts';
import { listedContents } from '../request/listed-contents.ts';
import { commonPrefixes, nameEncoder, pageLimit } from '../request/listing.ts';
import type { ListedKey } from '../storage/list-keys.ts';

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

export const listObjectsV2: Operation = async (request, { storage, ownerId }) => {
  await request.body.expectEmpty();
  const { query } = request;
  const bucket = storage.bucket(requiredBucket(request));
  if (query.get('list-type') !== '2')
    throw new S3Error('InvalidArgument', 'Invalid List Type specified in Request');
  const encode = nameEncoder(query);
  const limit = pageLimit(query, 'max-keys');
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
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
  const owner = query.get('fetch-owner') === 'true' ? ownerId : undefined;
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
        Contents: listedContents(bucket, entries, { encode, owner }),
        CommonPrefixes: commonPrefixes(
          entries.filter(({ group }) => group).map(({ name }) => name),
          encode,
        ),
      },
    },
  };
};
