import { createHash } from 'node:crypto';
import type { ObjectChecksum } from '../checksum/object-checksum.ts';
import type { PartRecord } from './part-file.ts';

/** Properties of an object given by the client. */
export interface ObjectProperties {
  /** `content-type` and similar headers, in lower case, one byte per character as received. */
  readonly contentHeaders: Readonly<Record<string, string>>;
  /** Metadata by name without the `x-amz-meta-` prefix. */
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly storageClass: string;
}

/** One object, with the part files that hold its bytes, in order. */
export interface ObjectManifest extends ObjectProperties {
  readonly key: string;
  /** Name of the blob with the part files. */
  readonly blob: string;
  readonly sizeBytes: number;
  /** ETag without quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly multipart: boolean;
  readonly checksum: ObjectChecksum | undefined;
  readonly parts: readonly PartRecord[];
}

/** Fields needed by listings and preconditions, kept in memory for each object. */
export type ObjectSummary = Pick<
  ObjectManifest,
  'blob' | 'sizeBytes' | 'etag' | 'lastModifiedMs' | 'storageClass' | 'checksum'
>;

export function summarize(manifest: ObjectManifest): ObjectSummary {
  const { blob, sizeBytes, etag, lastModifiedMs, storageClass, checksum } = manifest;
  return { blob, sizeBytes, etag, lastModifiedMs, storageClass, checksum };
}

/** Returns a file name for any key. It has a fixed length and cannot point outside the directory. */
export function manifestFileName(key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`;
}
