import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BackhaulError, errorCodes, errorTable } from '@backhaul/protocol';
import { Interrupted, UsageError } from './errors.ts';
import { describeFailure, exitCodes, renderFailure } from './failure.ts';
import { Output, type Terminal } from './output.ts';

function capture(json: boolean) {
  const written = { stdout: '', stderr: '' };
  const terminal = (name: 'stdout' | 'stderr'): Terminal => ({
    write: (chunk) => {
      written[name] += String(chunk);
      return true;
    },
  });
  const output = new Output({ stdout: terminal('stdout'), stderr: terminal('stderr'), json, color: true });
  return { written, output };
}

test('every code of the error table has the exit code of its kind', () => {
  for (const code of errorCodes) {
    const failure = describeFailure(new BackhaulError(code));
    assert.equal(failure.exitCode, exitCodes[errorTable[code].kind], code);
    assert.equal(failure.sentence, errorTable[code].sentence);
    assert.equal(failure.detail, null, 'the sentence is not repeated');
  }
});

test('errors are printed as sentence, detail and fix on standard error', () => {
  const { written, output } = capture(false);
  renderFailure(describeFailure(new BackhaulError('forbidden', 'It lacks \u001b[1madmin.')), output);
  assert.equal(written.stdout, '');
  assert.deepEqual(written.stderr.split('\n'), [
    'backhaul: The token is valid but lacks the required scope.',
    '  It lacks \\u001b[1madmin.',
    '  → Use a token that has the missing scope: backhaul token operator --scope read,content,trigger,admin',
    '',
  ]);
});

test('with --json an error is one object', () => {
  const { written, output } = capture(true);
  renderFailure(describeFailure(new UsageError('No server URL.', 'Set BACKHAUL_URL.')), output);
  assert.deepEqual(JSON.parse(written.stderr), {
    error: {
      code: 'usage',
      exit_code: 2,
      message: 'No server URL.',
      detail: null,
      fix: 'Set BACKHAUL_URL.',
      upload_id: null,
    },
  });
});

test('an interruption exits with 128 + its signal and prints nothing', () => {
  const { written, output } = capture(false);
  const failure = describeFailure(new Interrupted('SIGTERM'));
  renderFailure(failure, output);
  assert.equal(failure.exitCode, 143);
  assert.equal(written.stderr, '');
});

test('any other error is unexpected', () => {
  const failure = describeFailure(new RangeError('boom'));
  assert.equal(failure.exitCode, 1);
  assert.equal(failure.detail, 'boom');
});
