import type { ObjectFacts, PendingUpload } from '../../../packages/server/src/domain/ports/bucket.ts';
import { combineCrc32 } from '../../../packages/server/src/domain/uploads/expected-object.ts';
import { type Content, crc32Of, sizeBytesOf } from '../agent/simulated-file.ts';

export interface StoredPart {
  readonly etag: string;
  /** A bad disk may change it without changing the ETag. */
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

/** Content of the simulated store. */
export class S3State {
  readonly uploads = new Map<string, StoredUpload>();
  /** Parts that landed after the abort of their upload: useless, but stored until it is aborted again. */
  readonly leftovers = new Map<string, StoredUpload>();
  readonly objects = new Map<string, StoredObject>();
  /** Multipart uploads that the store can never list or complete; otherwise it is healthy. */
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

  /** Removed by a lifecycle rule. */
  vanish(s3UploadId: string): void {
    this.uploads.delete(s3UploadId);
  }

  /** @returns false when its upload was not aborted, so that nothing can be left over. */
  landAfterAbort(s3UploadId: string, partNumber: number, part: StoredPart): boolean {
    const aborted = this.#aborted.get(s3UploadId);
    if (aborted === undefined) return false;
    this.leftovers.set(s3UploadId, { ...aborted, parts: new Map([[partNumber, part]]) });
    return true;
  }

  /** An ordinary PUT without a token. */
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

  /** Combines all parts, sorted by number, into the object. */
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
