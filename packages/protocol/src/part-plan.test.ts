import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BackhaulError } from './errors.ts';
import {
  DEFAULT_CHUNK_BYTES,
  type PlanRule,
  S3_MAX_PARTS,
  S3_MAX_PART_BYTES,
  S3_MIN_PART_BYTES,
  partRange,
  planParts,
} from './part-plan.ts';

const MiB = 1024 * 1024;
const TiB = 1024 ** 4;
const defaultRule: PlanRule = { minChunkSize: DEFAULT_CHUNK_BYTES, maxParts: S3_MAX_PARTS };

const rules = fc.record({
  minChunkSize: fc.integer({ min: S3_MIN_PART_BYTES, max: 64 * MiB }),
  maxParts: fc.integer({ min: 1, max: S3_MAX_PARTS }),
});

/** Sizes for which a rule has a plan, including boundaries between chunk sizes. */
const planned = rules.chain((rule) =>
  fc
    .oneof(
      fc.integer({ min: 0, max: 64 * MiB }),
      fc.integer({ min: 0, max: rule.maxParts * S3_MAX_PART_BYTES }),
      fc
        .tuple(fc.integer({ min: 1, max: 5 * 1024 }), fc.integer({ min: -1, max: 1 }))
        .map(([chunkMiB, around]) => chunkMiB * MiB * rule.maxParts + around)
        .filter((size) => size <= rule.maxParts * S3_MAX_PART_BYTES),
    )
    .map((sizeBytes) => planOf(sizeBytes, rule)),
);

function planOf(sizeBytes: number, rule: PlanRule) {
  return { rule, sizeBytes, plan: planParts(sizeBytes, rule) };
}

describe('the plan rule', () => {
  test('splits 100 MiB into 20 parts of 5 MiB', () => {
    assert.deepEqual(planParts(100 * MiB, defaultRule), {
      sizeBytes: 104_857_600,
      chunkSize: 5_242_880,
      partCount: 20,
    });
  });

  test('has one empty part for an empty file', () => {
    const plan = planParts(0, defaultRule);
    assert.equal(plan.partCount, 1);
    assert.deepEqual(partRange(plan, 1), { offset: 0, length: 0 });
  });

  test('makes the last part smaller', () => {
    const plan = planParts(5 * MiB + 1, defaultRule);
    assert.equal(plan.partCount, 2);
    assert.deepEqual(partRange(plan, 2), { offset: 5 * MiB, length: 1 });
  });

  test('uses 5 MiB for up to 10,000 parts, and 6 MiB for one byte more', () => {
    assert.deepEqual(planParts(10_000 * 5 * MiB, defaultRule), {
      sizeBytes: 52_428_800_000,
      chunkSize: 5 * MiB,
      partCount: 10_000,
    });
    assert.deepEqual(planParts(10_000 * 5 * MiB + 1, defaultRule), {
      sizeBytes: 52_428_800_001,
      chunkSize: 6 * MiB,
      partCount: 8334,
    });
  });

  test('does not round a configured minimum that is not a multiple of 1 MiB', () => {
    assert.equal(planParts(100 * MiB, { minChunkSize: 5_500_000, maxParts: 10_000 }).chunkSize, 5_500_000);
  });

  test('supports the largest object whose parts S3 allows, and refuses one byte more', () => {
    const largest = S3_MAX_PARTS * S3_MAX_PART_BYTES;
    assert.equal(planParts(largest, defaultRule).chunkSize, S3_MAX_PART_BYTES);
    assert.throws(
      () => planParts(largest + 1, defaultRule),
      (error) =>
        error instanceof BackhaulError && error.code === 'file_too_large' && /5368709120/.test(error.message),
    );
    assert.throws(() => planParts(60 * TiB, defaultRule), BackhaulError);
  });

  test('covers every byte exactly once, in order', () => {
    fc.assert(
      fc.property(planned, fc.nat(), ({ sizeBytes, plan }, at) => {
        assert.equal(partRange(plan, 1).offset, 0);
        const last = partRange(plan, plan.partCount);
        assert.equal(last.offset + last.length, sizeBytes);
        // All adjacent parts touch, so together they cover the file; checking all 10,000 parts would prove no more.
        const left = 1 + (at % plan.partCount);
        if (left === plan.partCount) return;
        const range = partRange(plan, left);
        assert.equal(range.length, plan.chunkSize);
        assert.equal(partRange(plan, left + 1).offset, range.offset + range.length);
      }),
    );
  });

  test('has no empty part except for an empty file', () => {
    fc.assert(
      fc.property(planned, ({ sizeBytes, plan }) => {
        assert.equal(partRange(plan, plan.partCount).length === 0, sizeBytes === 0);
      }),
    );
  });

  test('stays within max_parts and the limits of S3', () => {
    fc.assert(
      fc.property(planned, ({ rule, plan }) => {
        assert.ok(plan.partCount >= 1 && plan.partCount <= rule.maxParts);
        assert.ok(plan.chunkSize >= S3_MIN_PART_BYTES && plan.chunkSize <= S3_MAX_PART_BYTES);
      }),
    );
  });

  test('chooses the smallest multiple of 1 MiB that is sufficient, or the minimum if that is larger', () => {
    fc.assert(
      fc.property(planned, ({ rule, sizeBytes, plan }) => {
        if (plan.chunkSize === rule.minChunkSize) return;
        assert.equal(plan.chunkSize % MiB, 0);
        assert.ok(plan.chunkSize > rule.minChunkSize);
        assert.ok((plan.chunkSize - MiB) * rule.maxParts < sizeBytes);
      }),
      // A minimum of 8.2 MiB would be sufficient here. The rule rounds up to 9 MiB, on both sides of the wire.
      { examples: [[planOf(8_600_000, { minChunkSize: 8_624_815, maxParts: 1 })]] },
    );
  });

  test('has no part outside 1 to part_count', () => {
    const plan = planParts(12 * MiB, defaultRule);
    for (const partNumber of [0, 4, -1, 1.5, Number.NaN]) {
      assert.throws(() => partRange(plan, partNumber), RangeError);
    }
  });
});
