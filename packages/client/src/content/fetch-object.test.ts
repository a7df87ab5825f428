import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { cutIntoRanges, fetchObject, fetchRange, type RangeSource } from './fetch-object.ts';
import { type ByteRange, ReadFailure } from './stored-object.ts';

const signal = AbortSignal.timeout(30_000);

/** Yields `step` bytes and then fails, on each read. */
function brittle(step: number): RangeSource & { readonly reads: ByteRange[] } {
  const reads: ByteRange[] = [];
  return {
    reads,
    async *read(range) {
      reads.push(range);
      yield new Uint8Array(Math.min(step, range.end - range.start));
      if (range.end - range.start > step) throw new ReadFailure('storage_unavailable', 'cut');
    },
  };
}

describe('a range', () => {
  test('is resumed after the last byte, and every byte is written once', async () => {
    const source = brittle(40);
    const written: [number, number][] = [];
    const write = async (chunk: Uint8Array, position: number): Promise<void> => {
      written.push([position, chunk.length]);
    };
    await fetchRange(source, { start: 100, end: 200 }, { write, signal });
    assert.deepEqual(
      source.reads.map(({ start }) => start),
      [100, 140, 180],
    );
    assert.deepEqual(written, [
      [100, 40],
      [140, 40],
      [180, 20],
    ]);
  });

  test('without progress fails with the code of the last failure', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    let reads = 0;
    const source: RangeSource = {
      // oxlint-disable-next-line require-yield -- it always throws
      async *read() {
        reads += 1;
        // There is no delay after the last try.
        if (reads < 6) setImmediate(() => context.mock.timers.runAll());
        throw new ReadFailure('storage_refused', 'no');
      },
    };
    const fetching = fetchRange(source, { start: 0, end: 1 }, { write: async () => undefined, signal });
    await assert.rejects(fetching, { name: 'BackhaulError', code: 'storage_refused' });
    assert.equal(reads, 6);
  });

  test('whose bytes cannot be written fails at once, without a retry', async () => {
    const source = brittle(40);
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    const write = (): Promise<void> => Promise.reject(full);
    await assert.rejects(fetchRange(source, { start: 0, end: 100 }, { write, signal }), full);
    assert.equal(source.reads.length, 1);
  });

  test('with more bytes than requested is refused', async () => {
    const source: RangeSource = {
      async *read() {
        yield new Uint8Array(11);
      },
    };
    const fetching = fetchRange(source, { start: 0, end: 10 }, { write: async () => undefined, signal });
    await assert.rejects(fetching, { code: 'checksum_mismatch' });
  });
});

describe('an object', () => {
  const sizeBytes = 100 * 1024 * 1024;

  test('is read without gap or overlap, in order or in four parallel ranges', async () => {
    for (const parallel of [false, true]) {
      const reads: ByteRange[] = [];
      let open = 0;
      let most = 0;
      const source: RangeSource = {
        async *read(range) {
          reads.push(range);
          open += 1;
          most = Math.max(most, open);
          await new Promise((resolve) => setImmediate(resolve));
          open -= 1;
          yield new Uint8Array(range.end - range.start);
        },
      };
      await fetchObject(source, {
        ranges: cutIntoRanges(sizeBytes),
        write: async () => undefined,
        signal,
        parallel,
      });
      let end = 0;
      for (const range of parallel ? reads.toSorted((a, b) => a.start - b.start) : reads) {
        assert.equal(range.start, end);
        end = range.end;
      }
      assert.equal(end, sizeBytes);
      assert.equal(most, parallel ? 4 : 1);
    }
  });

  test('with a failed range stops the other ranges before it fails', async () => {
    let open = 0;
    const source: RangeSource = {
      async *read(range, either) {
        if (range.start > 0) throw new BackhaulError('object_not_found');
        open += 1;
        try {
          await new Promise((_, reject) => {
            either.addEventListener('abort', () => reject(new Error('stopped')));
          });
          yield new Uint8Array();
        } finally {
          open -= 1;
        }
      },
    };
    const fetching = fetchObject(source, {
      ranges: cutIntoRanges(sizeBytes),
      write: async () => undefined,
      signal,
      parallel: true,
    });
    await assert.rejects(fetching, { code: 'object_not_found' });
    assert.equal(open, 0);
  });
});
