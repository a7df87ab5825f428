import { createHash } from 'node:crypto';
import type { ObjectChecksum } from '../checksum/object-checksum.ts';
import type { PartRecord } from './part-file.ts';

/** What the client says about an object besides its bytes. */
export interface ObjectProperties {
  /** `content-type` and the like, lower case, one byte per character as received. */
  readonly contentHeaders: Readonly<Record<string, string>>;
  /** Without the `x-amz-meta-` prefix. */
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly storageClass: string;
}

/** One object: which part files, in order, are its bytes. */
export interface ObjectManifest extends ObjectProperties {
  readonly key: string;
  /** Name of the blob that holds the part files. */
  readonly blob: string;
  readonly sizeBytes: number;
  /** Without quotes. */
  readonly etag: string;
  readonly lastModifiedMs: number;
  readonly multipart: boolean;
  readonly checksum: ObjectChecksum | undefined;
  readonly parts: readonly PartRecord[];
}

/** What listings and preconditions need, kept in memory for each object. */
export type ObjectSummary = Pick<
  ObjectManifest,
  'blob' | 'sizeBytes' | 'etag' | 'lastModifiedMs' | 'storageClass' | 'checksum'
>;

export function summarize(manifest: ObjectManifest): ObjectSummary {
  const { blob, sizeBytes, etag, lastModifiedMs, storageClass, checksum } = manifest;
  return { blob, sizeBytes, etag, lastModifiedMs, storageClass, checksum };
}

/** A file name for any key: of fixed length, and no key can point outside the directory. */
export function manifestFileName(key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`;
}
