import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Closing, ClosingStore } from '../faults/injection/closing-store/closing-store.ts';
import { slowReaders } from '../faults/injection/closing-store/fetch-slowly.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';

const MiB = 1024 * 1024;
const SIZE_BYTES = 40 * MiB + 1;
/** Number of ranges into which the CLI splits the file. */
const RANGES = 6;

const closings: Record<Closing, string> = {
  each: 'announces the end of each connection after one answer',
  some: 'announces the end of each connection after two answers',
  silent: 'ends each connection after one answer, and announces nothing',
};

describe('from a store that', () => {
  for (const [closing, does] of Object.entries(closings) as [Closing, string][]) {
    test(`${does}, a slow reader gets a file, standard output and a verification whole`, async () => {
      await using directory = await temporaryDirectory();
      await using store = await ClosingStore.start(closing, SIZE_BYTES);
      for (const [name, fetchSlowly] of Object.entries(slowReaders)) {
        const { answered, closed } = store;
        await fetchSlowly(store, directory.join('copy.bin'));
        assert.ok(store.answered - answered >= RANGES, `${name}: ${store.answered - answered} answers`);
        assert.ok(store.closed > closed, `${name}: no connection was closed`);
      }
    });
  }
});
