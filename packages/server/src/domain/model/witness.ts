import { isTerminal } from '@backhaul/protocol';
import type { Hint } from '../ports/bus.ts';
import type { ListedPart, MultipartUpload } from '../ports/bucket.ts';
import type { Upload } from '../uploads/upload.ts';
import type { S3State, StoredObject } from './object-store/s3-state.ts';

/** Sees each durable row, each hint and what is done to the store, at the moment it happens, and objects. */
export class Witness {
  readonly #objects: ReadonlyMap<string, StoredObject>;
  readonly #broken: ReadonlySet<string>;
  /** As they are on disk. */
  readonly rows = new Map<string, Upload>();
  /** Uploads that an operator has asked to remove. */
  readonly removing = new Set<string>();
  readonly objections: string[] = [];
  readonly #listings = new Map<string, ReadonlySet<number>>();
  /** By upload and attempt: parts that the store held when it began, so that sending them would be in vain. */
  readonly #held = new Map<string, ReadonlySet<number>>();

  /** @param state What the store has. */
  constructor({ objects, broken }: Pick<S3State, 'objects' | 'broken'>) {
    this.#objects = objects;
    this.#broken = broken;
  }

  object(problem: string): void {
    this.objections.push(problem);
  }

  sawRow(next: Upload): void {
    const before = this.rows.get(next.uploadId);
    this.rows.set(next.uploadId, next);
    if (before === undefined) return;
    if (next.version <= before.version) this.object(`${name(next)} went back to version ${next.version}`);
    if (next.attempt < before.attempt) this.object(`${name(next)} went back to attempt ${next.attempt}`);
    if (isTerminal(before.status) && !isAllowedAfterEnd(before, next)) {
      this.object(`${name(next)} had ended as ${before.status} and became ${next.status}`);
    }
    if (before.status === 'queued' && next.status === 'preparing') this.#sawHandOver(next);
    // One that stays so may say meanwhile that it waits for the store.
    const isSettled = next.status === 'completed' || next.status === 'completing';
    if (before.status === 'completing' && !isSettled) this.#sawGivenUp(before, next);
  }

  sawRemoval(uploadId: string): void {
    this.rows.delete(uploadId);
  }

  sawHint({ uploadId, version }: Hint): void {
    const durable = this.rows.get(uploadId)?.version ?? 0;
    if (version > durable)
      this.object(`version ${version} of ${uploadId} was published before it was durable`);
  }

  /** @param signedFor The checksum that a part has to have. */
  sawListing(
    { s3UploadId }: MultipartUpload,
    listed: readonly ListedPart[],
    signedFor: (partNumber: number) => string | undefined,
  ): void {
    const right = listed.filter(({ partNumber, crc32 }) => crc32 === signedFor(partNumber));
    this.#listings.set(s3UploadId, new Set(right.map(({ partNumber }) => partNumber)));
  }

  sawPut({ uploadId, attempt }: { uploadId: string; attempt: number }, partNumber: number): void {
    if (this.#held.get(`${uploadId}/${attempt}`)?.has(partNumber) !== true) return;
    this.object(`part ${partNumber} of ${uploadId} was sent again in attempt ${attempt}`);
  }

  sawAbort({ key, s3UploadId }: MultipartUpload): void {
    for (const row of this.rows.values()) {
      if (row.s3UploadId !== s3UploadId || isTerminal(row.status)) continue;
      // What is to be cancelled or given up is aborted first: then no Complete of before can take effect.
      const isGivenUp = row.cancelRequestedBy !== null || this.#broken.has(s3UploadId);
      if (row.status === 'completing' && isGivenUp) continue;
      this.object(`${key} was aborted while ${name(row)} was ${row.status}`);
    }
  }

  sawDeletion(key: string, object: StoredObject | undefined): void {
    if (object === undefined) return;
    if (object.token === null) this.object(`an object of somebody else was deleted: ${key}`);
    this.sawReplacement(key, object);
  }

  /** An object goes, or another takes its place. */
  sawReplacement(key: string, { token }: StoredObject): void {
    for (const row of this.rows.values()) {
      if (row.key !== key || row.status !== 'completed' || this.removing.has(row.uploadId)) continue;
      if (token === row.objectToken) this.object(`the object of ${name(row)} was deleted or replaced`);
    }
  }

  /** Only where the store cannot be asked, or has other bytes than it should. */
  #sawGivenUp({ key, objectToken }: Upload, next: Upload): void {
    if (next.error === 'storage_unavailable' || next.error === 'checksum_mismatch') return;
    // At its deadline, the store away: the object is removed as soon as it is back.
    if (next.status === 'cancelled' && next.multipartOpen) return;
    if (this.#objects.get(key)?.token !== objectToken) return;
    this.object(`${name(next)} became ${next.status}, although its object is there`);
  }

  #sawHandOver(upload: Upload): void {
    const { uploadId, attempt, s3UploadId, partsCompleted } = upload;
    const held = new Set(s3UploadId === null ? [] : this.#listings.get(s3UploadId));
    this.#held.set(`${uploadId}/${attempt}`, held);
    if (partsCompleted !== held.size) {
      this.object(`${name(upload)} counts ${partsCompleted} parts, of which the store holds ${held.size}`);
    }
  }
}

function isAllowedAfterEnd(before: Upload, next: Upload): boolean {
  if (next.status === 'queued') return before.status !== 'completed' && next.attempt === before.attempt + 1;
  const { multipartOpen, version, updatedAt } = next;
  return JSON.stringify(next) === JSON.stringify({ ...before, multipartOpen, version, updatedAt });
}

function name({ uploadId, attempt, version }: Upload): string {
  return `${uploadId} (attempt ${attempt}, version ${version})`;
}
