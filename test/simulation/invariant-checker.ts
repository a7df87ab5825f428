import { isTerminal } from '@backhaul/protocol';
import type { Hint } from '../../packages/server/src/domain/ports/bus.ts';
import type { ListedPart, MultipartUpload } from '../../packages/server/src/domain/ports/bucket.ts';
import type { Upload } from '../../packages/server/src/domain/uploads/upload.ts';
import type { S3State, StoredObject } from './object-store/s3-state.ts';

/** Checks each durable row, each hint and each change of the store when it happens, and reports violations. */
export class InvariantChecker {
  readonly #objects: ReadonlyMap<string, StoredObject>;
  readonly #broken: ReadonlySet<string>;
  /** The rows as they are on disk. */
  readonly rows = new Map<string, Upload>();
  /** Uploads that an operator has asked to remove. */
  readonly removing = new Set<string>();
  readonly violations: string[] = [];
  readonly #listings = new Map<string, ReadonlySet<number>>();
  /** By upload and attempt: parts that the store had when the attempt started and that need not be sent. */
  readonly #held = new Map<string, ReadonlySet<number>>();

  /** @param state The content of the store. */
  constructor({ objects, broken }: Pick<S3State, 'objects' | 'broken'>) {
    this.#objects = objects;
    this.#broken = broken;
  }

  report(problem: string): void {
    this.violations.push(problem);
  }

  onRow(next: Upload): void {
    const before = this.rows.get(next.uploadId);
    this.rows.set(next.uploadId, next);
    if (before === undefined) return;
    if (next.version <= before.version) this.report(`${name(next)} went back to version ${next.version}`);
    if (next.attempt < before.attempt) this.report(`${name(next)} went back to attempt ${next.attempt}`);
    if (isTerminal(before.status) && !isAllowedAfterEnd(before, next)) {
      this.report(`${name(next)} had ended as ${before.status} and became ${next.status}`);
    }
    if (before.status === 'queued' && next.status === 'preparing') this.#onDispatch(next);
    // A completing upload may record meanwhile that it waits for the store.
    const isSettled = next.status === 'completed' || next.status === 'completing';
    if (before.status === 'completing' && !isSettled) this.#onGivenUp(before, next);
  }

  onRemoval(uploadId: string): void {
    this.rows.delete(uploadId);
  }

  onHint({ uploadId, version }: Hint): void {
    const durable = this.rows.get(uploadId)?.version ?? 0;
    if (version > durable)
      this.report(`version ${version} of ${uploadId} was published before it was durable`);
  }

  /** @param signedFor The checksum that a part has to have. */
  onListing(
    { s3UploadId }: MultipartUpload,
    listed: readonly ListedPart[],
    signedFor: (partNumber: number) => string | undefined,
  ): void {
    const right = listed.filter(({ partNumber, crc32 }) => crc32 === signedFor(partNumber));
    this.#listings.set(s3UploadId, new Set(right.map(({ partNumber }) => partNumber)));
  }

  onPut({ uploadId, attempt }: { uploadId: string; attempt: number }, partNumber: number): void {
    if (this.#held.get(`${uploadId}/${attempt}`)?.has(partNumber) !== true) return;
    this.report(`part ${partNumber} of ${uploadId} was sent again in attempt ${attempt}`);
  }

  onAbort({ key, s3UploadId }: MultipartUpload): void {
    for (const row of this.rows.values()) {
      if (row.s3UploadId !== s3UploadId || isTerminal(row.status)) continue;
      // Uploads to be cancelled or given up are aborted first, so that no earlier Complete can take effect.
      const isGivenUp = row.cancelRequestedBy !== null || this.#broken.has(s3UploadId);
      if (row.status === 'completing' && isGivenUp) continue;
      this.report(`${key} was aborted while ${name(row)} was ${row.status}`);
    }
  }

  onDeletion(key: string, object: StoredObject | undefined): void {
    if (object === undefined) return;
    if (object.token === null) this.report(`a foreign object was deleted: ${key}`);
    this.onReplacement(key, object);
  }

  /** Called when an object is deleted or overwritten. */
  onReplacement(key: string, { token }: StoredObject): void {
    for (const row of this.rows.values()) {
      if (row.key !== key || row.status !== 'completed' || this.removing.has(row.uploadId)) continue;
      if (token === row.objectToken) this.report(`the object of ${name(row)} was deleted or replaced`);
    }
  }

  /** Allowed only if the store is unavailable or has the wrong bytes. */
  #onGivenUp({ key, objectToken }: Upload, next: Upload): void {
    if (next.error === 'storage_unavailable' || next.error === 'checksum_mismatch') return;
    // Cancelled at its deadline during an outage: the object is removed once the store is back.
    if (next.status === 'cancelled' && next.multipartOpen) return;
    if (this.#objects.get(key)?.token !== objectToken) return;
    this.report(`${name(next)} became ${next.status}, although its object exists`);
  }

  #onDispatch(upload: Upload): void {
    const { uploadId, attempt, s3UploadId, partsCompleted } = upload;
    const held = new Set(s3UploadId === null ? [] : this.#listings.get(s3UploadId));
    this.#held.set(`${uploadId}/${attempt}`, held);
    if (partsCompleted !== held.size) {
      this.report(`${name(upload)} counts ${partsCompleted} parts, but the store has ${held.size}`);
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
