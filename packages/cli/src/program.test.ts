import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CommanderError } from 'commander';
import { parseCommandLine } from './program.ts';
import { UPLOAD_ID } from '../../../test/harness/upload-record.ts';

const silent = { writeOut: () => undefined, writeErr: () => undefined };
const parse = (line: string) => parseCommandLine(line.split(' '), silent);

describe('a command line', () => {
  test('accepts global options before and after the command', () => {
    for (const line of [
      '--json --url http://a --token t clients',
      'clients --json --url http://a --token t',
    ]) {
      const { globals } = parse(line);
      assert.equal(globals.json, true);
      assert.equal(globals.url, 'http://a');
      assert.equal(globals.token, 't');
    }
  });

  test('is parsed to typed input', () => {
    const { input } = parse('download --client-id a --file /x --timeout 10m --reason why');
    assert.deepEqual(input.options, { clientId: 'a', file: '/x', timeout: 600, reason: 'why', wait: true });
    assert.deepEqual(parse(`uploads ${UPLOAD_ID.toUpperCase()}`).input.arguments, [UPLOAD_ID]);
    assert.deepEqual(parse('uploads').input.arguments, [undefined]);
    assert.deepEqual(parse('token operator --scope admin,read,admin').input.options, {
      scope: ['admin', 'read'],
      subject: 'operator',
      ttl: 43_200,
    });
  });

  test('gives the machine as the first argument or with --client-id', () => {
    for (const line of [
      'download a',
      'download --client-id a',
      'status a',
      'status --client-id a',
      'events a',
    ]) {
      assert.equal((parse(line).input.options as { clientId?: string }).clientId, 'a', line);
    }
    for (const line of ['ls a /data', 'ls --client-id a /data', 'ls /data --client-id a']) {
      assert.deepEqual(parse(line).input, { arguments: ['/data'], options: { clientId: 'a' } });
    }
    assert.throws(() => parse('download a --client-id b'), /given twice: as a and with --client-id/);
    assert.throws(() => parse('status a/b'), /invalid for argument 'client'\. A client_id is/);
  });

  test('uses all values of a repeatable flag and refuses a second value of others', () => {
    assert.deepEqual(parse('clients --label x=1 --label y=2').input.options, { label: ['x=1', 'y=2'] });
    for (const line of [
      'download --client-id a --client-id b',
      'download a --file /a --file /b',
      'uploads --limit 1 --limit=2',
      '--url http://a clients --url http://b',
    ]) {
      assert.throws(() => parse(line), /is given twice, but takes only one value/, line);
    }
    assert.equal(parse('--json clients --json').globals.json, true);
  });

  test('with a mistyped flag suggests a similar one', () => {
    assert.throws(
      () => parse('download a --outptu x'),
      /unknown option '--outptu' \(did you mean --output\?\)/,
    );
    assert.throws(() => parse('download a --expires 1d'), /did you mean --expires-in/);
    assert.throws(() => parse('--tokne t clients'), /did you mean --token/);
    assert.throws(() => parse('cancel 01a'), /at least its first 4 characters/);
  });

  test('with conflicting or invalid values is refused', () => {
    for (const line of [
      'download --client-id a --no-wait --output x',
      'uploads --all --cursor c',
      'uploads --status done',
      'clients --label site',
      'clients --connected --away',
      'events --follow --limit 5',
      'token operator --scope root',
      'token operator --ttl 1.5h',
      'status',
      'status a b',
      'download',
      'download a --client-id b',
      'token agent',
    ]) {
      assert.throws(() => parse(line), CommanderError, line);
    }
  });
});
