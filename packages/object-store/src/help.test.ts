import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertManualPage, exampleCalls } from '@backhaul/testing';
import { FLAGS, readCommand } from './config.ts';
import { HELP } from './help.ts';

describe('--help', () => {
  test('is a manual page with every flag, and says that the storage class is only a label', () => {
    assert.equal(readCommand(['--help']).kind, 'help');
    const flags = Object.keys(FLAGS).map((name) => `--${name}`);
    assertManualPage(HELP, 'backhaul-object-store', flags);
    assert.match(HELP, /storage class is only a label/);
  });

  test('shows valid examples', () => {
    for (const { args, env } of exampleCalls(HELP, 'backhaul-object-store')) {
      assert.equal(readCommand(args, env).kind, 'serve', args.join(' '));
    }
  });
});
