import type { ObjectFacts, PendingUpload } from '../../ports/bucket.ts';
import { combineCrc32 } from '../../uploads/combine-crc32.ts';
import { type Content, crc32Of, sizeBytesOf } from '../agent/simulated-file.ts';

export interface StoredPart {
  readonly etag: string;
  /** A bad disk may change it behind its ETag. */
  content: Content;
}

export interface StoredUpload extends PendingUpload {
  readonly token: string;
  readonly parts: Map<number, StoredPart>;
}

export interface StoredObject {
  readonly token: string | null;
  readonly etag: string;
  readonly content: Content;
  readonly facts: ObjectFacts;
}

/** What the simulated store holds. */
export class S3State {
  readonly uploads = new Map<string, StoredUpload>();
  /** Parts that landed after the abort of their upload: of no use, but stored until it is aborted once more. */
  readonly leftovers = new Map<string, StoredUpload>();
  readonly objects = new Map<string, StoredObject>();
  /** Multipart uploads that the store can neither list nor complete, each time; it is well otherwise. */
  readonly broken = new Set<string>();
  readonly #aborted = new Map<string, StoredUpload>();

  get storedParts(): StoredPart[] {
    return [...this.uploads.values()].flatMap(({ parts }) => [...parts.values()]);
  }

  abort(s3UploadId: string): void {
    const upload = this.uploads.get(s3UploadId);
    if (upload !== undefined) this.#aborted.set(s3UploadId, upload);
    this.uploads.delete(s3UploadId);
    this.leftovers.delete(s3UploadId);
  }

  /** By a lifecycle rule. */
  vanish(s3UploadId: string): void {
    this.uploads.delete(s3UploadId);
  }

  /** @returns false when its upload was not aborted, so that nothing can be left over of it. */
  landAfterAbort(s3UploadId: string, partNumber: number, part: StoredPart): boolean {
    const aborted = this.#aborted.get(s3UploadId);
    if (aborted === undefined) return false;
    this.leftovers.set(s3UploadId, { ...aborted, parts: new Map([[partNumber, part]]) });
    return true;
  }

  /** By an ordinary PUT, without a word about whose it is. */
  putForeign(key: string, content: Content): void {
    const facts = { token: null, versionId: null, serverSideEncryption: null, storageClass: null };
    this.objects.set(key, {
      token: null,
      etag: '"foreign"',
      content,
      facts: { ...facts, etag: '"foreign"', sizeBytes: sizeBytesOf(content), crc32: null },
    });
  }

  putEmpty(key: string, facts: Omit<ObjectFacts, 'sizeBytes' | 'crc32'>): void {
    const { token, etag } = facts;
    this.objects.set(key, {
      ...{ token, etag, content: [] },
      facts: { ...facts, sizeBytes: 0, crc32: combineCrc32([]) },
    });
  }

  /** Turns all parts, in order, into the object. */
  complete(upload: StoredUpload, facts: Omit<ObjectFacts, 'sizeBytes' | 'crc32'>, withCrc32: boolean): void {
    const parts = inOrder(upload);
    const content = parts.flatMap(({ content }) => content);
    this.objects.set(upload.key, {
      token: upload.token,
      etag: facts.etag,
      content,
      facts: {
        ...facts,
        sizeBytes: sizeBytesOf(content),
        crc32: withCrc32 ? combinedCrc32(upload) : null,
      },
    });
    this.uploads.delete(upload.s3UploadId);
  }
}

export function combinedCrc32(upload: StoredUpload): string {
  return combineCrc32(
    inOrder(upload).map(({ content }) => ({ crc32: crc32Of(content), sizeBytes: sizeBytesOf(content) })),
  );
}

function inOrder({ parts }: StoredUpload): StoredPart[] {
  return [...parts].toSorted(([a], [b]) => a - b).map(([, part]) => part);
}
