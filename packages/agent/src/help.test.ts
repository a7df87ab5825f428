import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertManualPage, exampleCalls } from '../../../test/harness/manual-page.ts';
import { readConfig } from './config.ts';
import { flagOptions } from './flags.ts';
import { HELP } from './help.ts';

const env = { env: {}, cwd: '/', terminal: false, os: 'linux' } as const;

describe('--help', () => {
  test('is a manual page that lists exactly the supported flags', () => {
    assert.deepEqual(readConfig(['--help'], env), { kind: 'print', text: HELP });
    const flags = Object.keys(flagOptions).map((name) => `--${name}`);
    assertManualPage(HELP, 'backhaul-agent', flags);
    assert.match(HELP, /can see it in `ps`/);
  });

  test('shows examples that parse', () => {
    for (const { args } of exampleCalls(HELP, 'backhaul-agent')) {
      const variables = args.includes('--token-file') ? {} : { BACKHAUL_TOKEN: 'a.b.c' };
      assert.equal(readConfig(args, { ...env, env: variables }).kind, 'run', args.join(' '));
    }
  });
});
