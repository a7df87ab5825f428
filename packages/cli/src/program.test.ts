import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CommanderError } from 'commander';
import { parseCall } from './program.ts';
import { UPLOAD_ID } from './testing/upload-record.ts';

const silent = { writeOut: () => undefined, writeErr: () => undefined };
const parse = (line: string) => parseCall(line.split(' '), silent);

describe('a command line', () => {
  test('takes global options before and after the command', () => {
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

  test('becomes typed input', () => {
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

  test('that contradicts itself or goes beyond is refused', () => {
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
      'ls a',
    ]) {
      assert.throws(() => parse(line), CommanderError, line);
    }
  });
});
