import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertManualPage, exampleCalls } from '../../../test/harness/manual-page.ts';
import { FLAGS, HELP, readCommand, UsageError } from './config.ts';

const KEYS = { BACKHAUL_STORE_ACCESS_KEY: 'env-access', BACKHAUL_STORE_SECRET_KEY: 'env-secret' };
const NEEDED = ['--port', '0', '--data', 'dir'];

test('usage errors name the flag to change', () => {
  const cases: ReadonlyArray<readonly [args: readonly string[], message: RegExp]> = [
    [['--data', 'x'], /--port is missing/],
    [['--port', '0'], /--data is missing/],
    [['--port', '70000', '--data', 'x'], /--port must be a number from 0 to 65535, not "70000"/],
    [['--port', '1.5', '--data', 'x'], /--port must be a whole number/],
    [[...NEEDED, '--sweep-after', 'soon'], /--sweep-after must be/],
    [[...NEEDED, '--bucket', 'No'], /--bucket "No"/],
    [[...NEEDED, '--frobnicate'], /--frobnicate/],
    [[...NEEDED, 'extra'], /extra/],
  ];
  for (const [args, message] of cases) {
    assert.throws(
      () => readCommand(args, KEYS),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
  assert.throws(() => readCommand(NEEDED, {}), /--access-key \(or BACKHAUL_STORE_ACCESS_KEY\) is missing/);
  assert.throws(
    () => readCommand([...NEEDED, '--access-key', 'a'], {}),
    /--secret-key \(or BACKHAUL_STORE_SECRET_KEY\) is missing/,
  );
});

test('keys are read from flags or from the environment', () => {
  const fromEnvironment = readCommand(NEEDED, KEYS);
  assert.ok(fromEnvironment.kind === 'serve');
  assert.equal(fromEnvironment.options.secretKey, 'env-secret');
  const fromFlags = readCommand([...NEEDED, '--access-key', 'a', '--secret-key', 's'], KEYS);
  assert.ok(fromFlags.kind === 'serve');
  assert.deepEqual([fromFlags.options.accessKey, fromFlags.options.secretKey], ['a', 's']);
});

test('a repeated flag is refused if it takes one value, and --bucket may be repeated', () => {
  const flags = ['--port', '0', '--data', '/d', '--access-key', 'a', '--secret-key', 's'];
  assert.throws(
    () => readCommand([...flags, '--port', '1'], {}),
    /--port is given twice, but takes only one value/,
  );
  const command = readCommand([...flags, '--bucket', 'one', '--bucket', 'two'], {});
  assert.ok(command.kind === 'serve');
  assert.deepEqual(command.options.buckets, ['one', 'two']);
});

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
