import assert from 'node:assert/strict';
import { test } from 'node:test';
import { help, parseBenchOptions } from './options.ts';

const experiments = [{ name: 'signing' }, { name: 'agents' }];
const none = { only: undefined, list: false, quick: false, strict: false, save: false, json: false };

test('a benchmark runs all experiments, or those that are named after --only', () => {
  const parse = (...argv: string[]) => parseBenchOptions(argv, experiments);
  assert.deepEqual(parse(), none);
  assert.deepEqual(parse('--only', 'agents', 'signing', '--quick', '--json'), {
    ...none,
    only: ['agents', 'signing'],
    quick: true,
    json: true,
  });
  assert.deepEqual(parse('--only=agents', '--only', 'signing', '--strict', '--save'), {
    ...none,
    only: ['agents', 'signing'],
    strict: true,
    save: true,
  });
  assert.equal(parse('--help'), undefined);
});

test('a mistake in its options is named', () => {
  for (const [argv, mistake] of [
    [['--only', 'signing', 'agent'], /^Error: --only agent: .*there are: signing, agents$/],
    [['signing'], /^Error: "signing" is no option/],
    [['--save', '--quick'], /^Error: --save keeps no results of --quick/],
    [['--list=yes'], /--list/],
  ] as const) {
    assert.throws(() => parseBenchOptions(argv, experiments), mistake);
  }
});

test('every example in the help is one that the options accept', () => {
  const [, examples = ''] = help.split('Examples:\n');
  const lines = examples.trim().split('\n');
  assert.ok(lines.length >= 4);
  for (const line of lines) {
    const argv = / -- ([^>]+)/.exec(line)?.[1]?.trim().split(' ') ?? [];
    assert.ok(parseBenchOptions(argv, experiments) !== undefined, line);
  }
});
