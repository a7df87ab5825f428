import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Line, limitsOf } from '../../bench/lines/line.ts';
import { pullOver } from '../../bench/lines/send-over.ts';

const PART_BYTES = 5 * 1024 * 1024;

/** Short scenarios; `npm run lines` has those of minutes, and peers on them. */
const shortLines: ReadonlyArray<Line & { readonly rule: string }> = [
  {
    name: 'reset-7s',
    rule: 'a line that breaks before four parts side by side are over carries them one by one',
    about: '2 MB/s, all connections reset every 7 s, 30 MB',
    sizeBytes: 30e6,
    rates: [{ fromMs: 0, bytesPerSecond: 2e6 }],
    resetEveryMs: 7000,
    // Adds a second stretch for a machine that is slow at first.
    probeMs: 14_000,
  },
  {
    name: 'stalls',
    rule: 'a connection that stalls for good costs no more than 25 s, and the others go on',
    about: '8 MB/s, the third connection stalls for good, each ends after 2 answers, 80 MB',
    sizeBytes: 80e6,
    rates: [{ fromMs: 0, bytesPerSecond: 8e6 }],
    // Stalls one connection only: the second try of a part waits longer, and how often that happens is random.
    stalls: { each: 1000, first: 3 },
    answersOfConnection: 2,
    probeMs: 0,
  },
];

describe('the line decides:', { concurrency: true }, () => {
  for (const { rule, ...line } of shortLines) {
    test(rule, async (t) => {
      const outcome = await pullOver(line);
      const limits = limitsOf(line, PART_BYTES, outcome);
      const { tookMs, resentBytes, record } = outcome;
      t.diagnostic(
        `${line.about}: ${tookMs.toFixed(0)} ms (at best ${limits.bound.tookMs.toFixed(0)}), ${resentBytes} bytes sent again`,
      );
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.sha256, outcome.sha256);
      assert.ok(line.stalls === undefined ? outcome.resets > 0 : outcome.stalls > 0, 'the fault was there');
      assert.ok(tookMs <= limits.tookMs, `at most ${limits.tookMs} ms`);
      assert.ok(resentBytes <= limits.lostBytes, `at most ${limits.lostBytes} bytes`);
    });
  }
});
