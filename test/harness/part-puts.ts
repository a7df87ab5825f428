import assert from 'node:assert/strict';
import type { UploadRecord } from '@backhaul/protocol';
import type { AccessLogEntry } from './access-log.ts';
import type { Stage } from './stage.ts';
import type { PullUnderWay } from './pull-under-way.ts';

/** PUTs of one upload's parts as logged by a store of this repository. */
export class PartPuts {
  readonly all: readonly AccessLogEntry[];

  private constructor(all: readonly AccessLogEntry[]) {
    this.all = all;
  }

  static async of(stage: Stage, { key }: Pick<UploadRecord, 'key'>): Promise<PartPuts> {
    const requests = await stage.storeRequests();
    return new PartPuts(requests.filter((put) => put.operation === 'UploadPart' && put.key === key));
  }

  get stored(): readonly AccessLogEntry[] {
    return this.all.filter(({ status }) => status === 200);
  }

  /** Returns the bytes that the store received beyond the file's size. */
  twice({ sizeBytes }: Pick<PullUnderWay, 'sizeBytes'>): number {
    return this.all.reduce((sum, { bytes_in: bytes }) => sum + bytes, 0) - sizeBytes;
  }

  /** Returns PUTs stored between two moments, in milliseconds since the epoch. */
  storedBetween(since: number, until: number): readonly AccessLogEntry[] {
    return this.stored.filter(({ ended_at_ms: at }) => at > since && at < until);
  }

  /** Returns PUTs in progress at a moment. */
  straddling(moment: number): readonly AccessLogEntry[] {
    return this.all.filter(({ started_at_ms: from, ended_at_ms: to }) => from < moment && to > moment);
  }

  /** @param except PUTs whose response the agent may have missed: their parts may be stored again. */
  assertEachStoredOnce(
    { part_count: count }: UploadRecord,
    { except = [] }: { except?: readonly AccessLogEntry[] } = {},
  ): void {
    const missed = new Set(except);
    const again = new Set(
      this.stored.filter((put) => !missed.has(put)).map(({ part_number: number }) => number),
    );
    const numbers = this.stored
      .filter((put) => !missed.has(put) || !again.has(put.part_number))
      .map(({ part_number: number }) => number);
    assert.deepEqual(
      numbers.toSorted((a, b) => (a ?? 0) - (b ?? 0)),
      Array.from({ length: count ?? 0 }, (_, index) => index + 1),
    );
  }

  /** Also asserts that no part was sent twice. */
  assertEachSentOnce(record: UploadRecord): void {
    this.assertEachStoredOnce(record);
    assert.equal(this.all.length, record.part_count, 'there was one PUT for each part');
  }
}
