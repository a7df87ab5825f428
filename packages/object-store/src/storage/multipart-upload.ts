import { randomBytes } from 'node:crypto';
import type { ChecksumPlan } from '../checksum/object-checksum.ts';
import { S3Error } from '../errors.ts';
import { Mutex } from './mutex.ts';
import type { ObjectProperties } from './stored-object.ts';
import type { PartRecord } from './part-file.ts';

/** The record stored on disk, so that an open upload survives a restart. */
export interface UploadRecord {
  readonly id: string;
  readonly key: string;
  readonly initiatedAtMs: number;
  readonly properties: ObjectProperties;
  readonly checksum: ChecksumPlan | undefined;
}

/** Ids start with the time, so that uploads of one key sort by age, as S3 lists them. */
export function newUploadId(nowMs: number): string {
  return nowMs.toString(16).padStart(12, '0') + randomBytes(10).toString('hex');
}

/** An upload from its creation until it is completed or aborted. Its blob has the upload's id. */
export class MultipartUpload {
  readonly record: UploadRecord;
  readonly #parts: Map<number, PartRecord>;
  readonly #mutex = new Mutex();
  #open = true;

  constructor(record: UploadRecord, parts: Iterable<PartRecord>) {
    this.record = record;
    this.#parts = new Map([...parts].map((part) => [part.number, part]));
  }

  part(number: number): PartRecord | undefined {
    return this.#parts.get(number);
  }

  /** Parts sorted by number. */
  parts(): PartRecord[] {
    return [...this.#parts.values()].sort((a, b) => a.number - b.number);
  }

  setPart(part: PartRecord): void {
    this.#parts.set(part.number, part);
  }

  /** Runs one change of this upload at a time. @throws S3Error NoSuchUpload once it was completed or aborted */
  async change<T>(task: () => Promise<T>): Promise<T> {
    return await this.#mutex.run(async () => {
      if (!this.#open) throw new S3Error('NoSuchUpload');
      return await task();
    });
  }

  /** Ends the upload; later changes are refused. Must be called inside a change. */
  end(): void {
    this.#open = false;
  }
}
