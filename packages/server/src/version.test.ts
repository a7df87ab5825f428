import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { SERVER_VERSION } from './version.ts';

test('the version matches package.json', async () => {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  assert.equal(SERVER_VERSION, version);
});
