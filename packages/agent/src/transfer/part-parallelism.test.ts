import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sendOver } from '../../../../test/doubles/simulated-network.ts';
import { type PutSlot, PartParallelism } from './part-parallelism.ts';

const PART = 5 * 1024 * 1024;
const MBIT = 125_000;

describe('parallel parts', { concurrency: true }, () => {
  test('are sent one by one if connections break before parallel parts complete', () => {
    const use = sendOver({ bytesPerSecond: 250_000, breaksEveryMs: 60_000 }, { parts: 8, partBytes: PART });
    // Before the first loss, two are tested once.
    assert.ok((use.msAt.get(2) ?? 0) <= 20_000 && use.mostInFlight <= 2, JSON.stringify([...use.msAt]));
    assert.ok(use.tookMs <= 3 * 60_000 + 2 * 21_100, `${use.tookMs} ms`);
    assert.ok(use.lostBytes <= 3 * 18.2 * 250_000, `${use.lostBytes} bytes`);
  });

  test('adapt to losses every five seconds after the first loss', () => {
    const use = sendOver({ bytesPerSecond: 20 * MBIT, breaksEveryMs: 5000 }, { parts: 76, partBytes: PART });
    // Two parts between two losses.
    assert.ok(use.tookMs <= (76 / 2) * 5000 + 5000, `${use.tookMs} ms`);
    assert.ok(use.lostBytes <= 38 * 0.9 * 20 * MBIT + 5 * 20 * MBIT, `${use.lostBytes} bytes`);
  });

  test('are sent one by one on a slow network, except for tests with two', () => {
    const use = sendOver({ bytesPerSecond: MBIT, roundTripMs: 1000 }, { parts: 6, partBytes: PART });
    assert.ok((use.msAt.get(2) ?? 0) <= 90_000 && use.mostInFlight <= 2, JSON.stringify([...use.msAt]));
    assert.equal(use.lostBytes, 0);
    assert.ok(use.tookMs <= 6 * 43_000, `${use.tookMs} ms`);
  });

  test('are limited to two if one connection uses the full bandwidth, so that the next follows immediately', () => {
    const use = sendOver({ bytesPerSecond: 10 * MBIT, roundTripMs: 100 }, { parts: 60, partBytes: PART });
    const bound = (60 * PART * 1000) / (10 * MBIT);
    assert.ok(use.tookMs <= bound * 1.02, `${use.tookMs} ms of ${bound}`);
    assert.ok((use.msAt.get(2) ?? 0) >= 0.6 * use.tookMs, JSON.stringify([...use.msAt]));
    assert.ok(use.mostInFlight <= 4, 'a test each minute');
  });

  test('reach the owner’s limit if each connection gets only a tenth of the bandwidth', () => {
    const network = { bytesPerSecond: 200 * MBIT, connectionBytesPerSecond: 20 * MBIT, roundTripMs: 100 };
    const use = sendOver(network, { parts: 191, partBytes: PART });
    assert.ok((use.msAt.get(8) ?? 0) >= 0.9 * use.tookMs, JSON.stringify([...use.msAt]));
    assert.ok((191 * PART) / use.tookMs >= 0.7 * 200 * MBIT * 1e-3, `${use.tookMs} ms`);
  });

  test('reach the owner’s limit if each connection is so slow that a part takes half a minute', () => {
    const network = { bytesPerSecond: 25e6, connectionBytesPerSecond: 200_000, roundTripMs: 300 };
    const use = sendOver(network, { parts: 40, partBytes: PART });
    const roundMs = PART / 200 + 300;
    assert.ok(use.tookMs <= 8.2 * roundMs, `${use.tookMs} ms; four side by side take ${10 * roundMs} ms`);
  });

  test('stay at one with losses and small files in between, which need not wait for a part', () => {
    const others = [{ bytes: 100_000, everyMs: 20_000 }];
    const use = sendOver(
      { bytesPerSecond: 250_000, breaksEveryMs: 60_000 },
      { parts: 20, partBytes: PART, others },
    );
    assert.ok((use.msAt.get(2) ?? 0) <= 20_000 && use.mostInFlight <= 2, JSON.stringify([...use.msAt]));
    assert.ok(use.tookMs <= 10 * 60_000, `${use.tookMs} ms`);
  });

  for (const bytes of [1024, 400_000]) {
    test(`are not reduced by files of ${bytes} bytes in between on a network with long round trips`, () => {
      const network = { bytesPerSecond: 200 * MBIT, connectionBytesPerSecond: 20 * MBIT, roundTripMs: 100 };
      const alone = sendOver(network, { parts: 100, partBytes: PART });
      const use = sendOver(network, { parts: 100, partBytes: PART, others: [{ bytes, everyMs: 500 }] });
      assert.ok(use.tookMs <= alone.tookMs * 1.25, `${use.tookMs} ms, alone ${alone.tookMs}`);
    });
  }

  for (const { reason, other, waitMs } of [
    { reason: 'held back by its upload', other: { bytesPerSecond: 16_000, heldBack: true }, waitMs: 5000 },
    { reason: 'on a very slow connection', other: { bytesPerSecond: 1000 }, waitMs: 61_000 },
  ]) {
    for (const bytesPerSecond of [250_000, 100 * MBIT]) {
      test(`are not blocked by a part ${reason}, at ${bytesPerSecond} bytes/s`, () => {
        const parts = bytesPerSecond / 25_000;
        const others = [{ bytes: PART, ...other }];
        const use = sendOver({ bytesPerSecond }, { parts, partBytes: PART, others });
        const bound = (parts * PART * 1000) / (bytesPerSecond - other.bytesPerSecond);
        assert.ok(use.tookMs <= bound * 1.05 + waitMs, `${use.tookMs} ms of ${bound}`);
      });
    }
  }

  test('reach four within the time of two parts on the same machine, where more do not help', () => {
    const use = sendOver(
      { bytesPerSecond: 1e9, connectionBytesPerSecond: 4e8 },
      { parts: 200, partBytes: PART },
    );
    assert.ok((use.msAt.get(1) ?? 0) <= 20, JSON.stringify([...use.msAt]));
    assert.equal(use.mostInFlight, 4);
  });

  test('keep those in flight when the network becomes slow, and are then sent one by one', () => {
    const changes = (atMs: number) => (atMs > 15_000 && atMs < 75_000 ? 32_000 : 10 * MBIT);
    const use = sendOver({ bytesPerSecond: changes }, { parts: 8, partBytes: PART });
    assert.equal(use.lostBytes, 0);
    assert.ok(use.tookMs <= 60_000 + 33_000, `${use.tookMs} ms`);
  });

  test('are tested again on a permanently slow network, with at most twice as many', () => {
    const changes = (atMs: number) => (atMs > 15_000 ? 32_000 : 10 * MBIT);
    const use = sendOver({ bytesPerSecond: changes }, { parts: 12, partBytes: PART });
    assert.ok(use.mostInFlight <= 4, JSON.stringify([...use.msAt]));
    assert.ok((use.msAt.get(1) ?? 0) >= 0.2 * use.tookMs, JSON.stringify([...use.msAt]));
  });

  test('continue while stalled connections are aborted within 25 s', () => {
    const use = sendOver({ bytesPerSecond: 100 * MBIT, stallsEach: 50 }, { parts: 286, partBytes: PART });
    assert.ok(use.longestStallMs >= 10_000 && use.longestStallMs <= 25_000, `${use.longestStallMs} ms`);
    assert.ok(use.tookMs <= (286 * PART) / 12_500 + 25_000, `${use.tookMs} ms`);
  });

  test('wait at most 25 s if the last connection stalls', () => {
    const use = sendOver({ bytesPerSecond: 100 * MBIT, stallsEach: 40 }, { parts: 40, partBytes: PART });
    assert.ok(use.longestStallMs > 0 && use.longestStallMs <= 25_000, `${use.longestStallMs} ms`);
  });
});

test('a rare connection loss changes nothing, and the effect of several fades while connections hold', () => {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
  const send = (ms: number): void => {
    const put = beginOn(parallelism);
    now += ms;
    parallelism.stored(put);
  };
  const breakAfter = (ms: number): void => {
    const put = beginOn(parallelism);
    now += ms;
    parallelism.broke(put);
  };
  for (let parts = 0; parts < 60; parts += 1) send(3000);
  const before = parallelism.limit;
  breakAfter(1000);
  assert.ok(before > 1 && parallelism.limit === before, 'no loss for three minutes');
  assert.ok(parallelism.holdsMs >= 60_000);
  for (let breaks = 0; breaks < 6; breaks += 1) breakAfter(4000);
  assert.equal(parallelism.limit, 1);
  for (let parts = 0; parts < 20; parts += 1) send(3000);
  assert.ok(parallelism.limit > 1);
  assert.ok(parallelism.holdsMs >= 60_000);
});

test('the speed and the slot of a small file do not admit more parts', () => {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
  const send = (bytes: number, ms: number): void => {
    const put = beginOn(parallelism, bytes);
    now += ms;
    parallelism.stored(put);
  };
  send(1024, 1);
  assert.equal(parallelism.bytesPerSecond, null);
  send(PART, 21_000);
  const part = beginOn(parallelism);
  const file = beginOn(parallelism, 1024);
  assert.equal(parallelism.admit(PART), null, 'with a part and a small file in flight');
  now += 1;
  parallelism.stored(file);
  assert.equal(parallelism.admit(PART), null, 'with a part in flight');
  parallelism.ended(part);
  beginOn(parallelism);
  assert.equal(parallelism.admit(400_000), null, 'a medium file counts by its size');
});

test('a stored part contributes to the rate in proportion to its size', () => {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
  const send = (bytes: number, ms: number): void => {
    const put = beginOn(parallelism, bytes);
    now += ms;
    parallelism.stored(put);
  };
  for (let parts = 0; parts < 4; parts += 1) send(PART, 2000);
  // Most of their duration is the round trip.
  for (let files = 0; files < 3; files += 1) send(400_000, 400);
  const rate = parallelism.bytesPerSecond ?? 0;
  assert.ok(rate > 0.7 * (PART / 2), `${rate} of ${PART / 2}`);
});

test('measurements are discarded after ten minutes without a PUT', () => {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
  const first = beginOn(parallelism);
  now += 100;
  parallelism.stored(first);
  assert.equal(parallelism.limit, 8);
  now += 700_000;
  parallelism.ended(beginOn(parallelism));
  assert.equal(parallelism.limit, 1);
});

test('connections closed by the store between two parts are ignored', () => {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
  for (let parts = 0; parts < 20; parts += 1) {
    const stored = beginOn(parallelism);
    now += 400;
    parallelism.stored(stored);
    const closed = beginOn(parallelism);
    now += 20;
    parallelism.broke(closed);
  }
  assert.equal(parallelism.holdsMs, Number.POSITIVE_INFINITY);
});

test('two connections that are silent at the end of a file are dead after 20 s if a part overtook them', () => {
  const areDead = (silentMs: number, { storedBytes }: { storedBytes: number | null }): boolean[] => {
    let now = 0;
    const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
    const first = beginOn(parallelism);
    now += 100;
    parallelism.stored(first);
    const silent = [beginOn(parallelism), beginOn(parallelism)];
    const silentSince = now;
    if (storedBytes !== null) {
      const later = beginOn(parallelism, storedBytes);
      now += 100;
      parallelism.stored(later);
    }
    now = silentSince + silentMs;
    return silent.map((put) => parallelism.hasFallenSilent(put, { silentSince, tries: 0, queued: true }));
  };
  assert.deepEqual(areDead(20_000, { storedBytes: PART }), [true, true]);
  assert.deepEqual(areDead(19_999, { storedBytes: PART }), [false, false]);
  assert.deepEqual(areDead(25_000, { storedBytes: 1024 }), [false, false], 'a small file does not count');
  assert.deepEqual(areDead(25_000, { storedBytes: null }), [false, false], 'the network may be slow');
});

test('a part that waits for the disk or the response of the store, not for the network, gets longer with each try', () => {
  let now = 0;
  const parallelism = new PartParallelism({ ceiling: 8, now: () => now });
  const first = beginOn(parallelism);
  now += 100;
  parallelism.stored(first);
  const waiting = beginOn(parallelism);
  const silentSince = now;
  const later = beginOn(parallelism);
  now += 100;
  parallelism.stored(later);
  const isDead = (silentMs: number, { tries, queued }: { tries: number; queued: boolean }): boolean => {
    now = silentSince + silentMs;
    return parallelism.hasFallenSilent(waiting, { silentSince, tries, queued });
  };
  assert.equal(isDead(20_000, { tries: 0, queued: false }), true);
  assert.equal(isDead(39_999, { tries: 1, queued: false }), false);
  assert.equal(isDead(40_000, { tries: 1, queued: false }), true);
  assert.equal(isDead(20_000, { tries: 1, queued: true }), true);
});

function beginOn(parallelism: PartParallelism, bytes = PART): PutSlot {
  const put = parallelism.admit(bytes) ?? assert.fail('it has to wait');
  parallelism.begin(put);
  return put;
}
