import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Closing, ClosingStore } from './injection/closing-store/closing-store.ts';
import { slowReaders } from './injection/closing-store/fetch-slowly.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';
import { stopwatch } from './stopwatch.ts';

const ROUNDS = Number(process.env['FETCH_ROUNDS'] ?? 2);
const SIZE_BYTES = Number(process.env['FETCH_BYTES'] ?? 100 * 1024 * 1024);
const closings = ['each', 'some', 'silent'] as const satisfies readonly Closing[];

for (const [name, fetchSlowly] of Object.entries(slowReaders)) {
  test(`${ROUNDS} times ${SIZE_BYTES} bytes from stores that close connections: ${name}`, async (t) => {
    await using directory = await temporaryDirectory();
    for (const closing of closings) {
      await using store = await ClosingStore.start(closing, SIZE_BYTES);
      // The store that closes most connections gets most rounds.
      const rounds = closing === 'each' ? ROUNDS : Math.ceil(ROUNDS / 10);
      const elapsed = stopwatch();
      for (let round = 0; round < rounds; round += 1) await fetchSlowly(store, directory.join('copy.bin'));
      const seconds = elapsed() / 1000;
      const rate = (rounds * SIZE_BYTES) / 1e6 / seconds;
      t.diagnostic(
        `${closing}: ${rounds} rounds in ${seconds.toFixed(1)} s, ${rate.toFixed(0)} MB/s, ${store.answered} answers, ${store.closed} connections closed`,
      );
      assert.ok(store.closed > 0, 'the fault did not show');
      if (closing === 'each')
        assert.ok(store.closed >= store.answered - rounds, 'each answer ends a connection');
    }
  });
}
