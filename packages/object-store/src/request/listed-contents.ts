import type { Bucket } from '../storage/bucket.ts';
import type { ListedKey } from '../storage/list-keys.ts';
import type { XmlElements } from '../xml.ts';
import type { NameEncoder } from './listing.ts';

interface ContentsOptions {
  readonly encode: NameEncoder;
  /** Owner to include with each object, if any. */
  readonly owner: string | undefined;
}

/** Returns the `<Contents>` elements of a page. */
export function listedContents(
  bucket: Bucket,
  entries: readonly ListedKey[],
  { encode, owner }: ContentsOptions,
): XmlElements[] {
  return entries.flatMap(({ name, group }) => {
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
}
