import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSoakOptions } from './options.ts';

test('the options of a soak have defaults, and the seed is one that can be given again', () => {
  const options = parseSoakOptions([]);
  assert.deepEqual({ ...options, seed: 0 }, { minutes: 10, seed: 0, agents: 4 });
  const again = parseSoakOptions(['--seed', String(options?.seed), '--minutes=0.5', '--agents=2']);
  assert.deepEqual(again, { minutes: 0.5, seed: options?.seed, agents: 2 });
  assert.equal(parseSoakOptions(['--help']), undefined);
});

test('a mistake in them is named', () => {
  for (const [option, wrong] of [
    ['minutes', ['0', '-1', 'ten', '']],
    ['seed', ['-1', '1.5', 'x', '4294967296']],
    ['agents', ['0', '17', '1.5']],
  ] as const) {
    for (const value of wrong) {
      assert.throws(() => parseSoakOptions([`--${option}=${value}`]), new RegExp(`^Error: --${option} is a`));
    }
  }
  assert.throws(() => parseSoakOptions(['--minute=3']), /--minute/);
});
