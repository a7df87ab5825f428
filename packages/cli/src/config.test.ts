import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { DEV_FILE } from '@backhaul/protocol';
import { Config, type Environment, type GlobalFlags } from './config.ts';
import { scratchDirectory } from './testing/scratch-directory.ts';

const dev = {
  server_url: 'http://localhost:8080',
  operator_token: 'dev-token',
  jwt_secret: 'dev-secret',
  pid: 1,
};

async function withDevFile(text = JSON.stringify(dev)) {
  const directory = await scratchDirectory();
  await mkdir(path.join(directory.path, path.dirname(DEV_FILE)));
  await writeFile(path.join(directory.path, DEV_FILE), text);
  return directory;
}

describe('settings', () => {
  test('are taken from flags, then the environment, then the dev file', async () => {
    await using directory = await withDevFile();
    const env: Environment = { BACKHAUL_URL: 'http://env', BACKHAUL_TOKEN: 'env', JWT_SECRET: 'env-secret' };
    const flags: GlobalFlags = { url: 'http://flag', token: 'flag' };
    const all = new Config(flags, env, directory.path);
    assert.deepEqual(
      [all.url.value, all.token.value, all.jwtSecret.value],
      ['http://flag', 'flag', 'env-secret'],
    );
    const some = new Config({}, env, directory.path);
    assert.deepEqual([some.url.value, some.token.value], ['http://env', 'env']);
    const none = new Config({}, { BACKHAUL_URL: '' }, directory.path);
    assert.deepEqual(none.url, { value: dev.server_url, source: DEV_FILE });
    assert.deepEqual(none.token, { value: 'dev-token', source: DEV_FILE });
    assert.equal(none.jwtSecret.value, 'dev-secret');
  });

  test('give the development token to the development server only, however it is written', async () => {
    await using directory = await withDevFile();
    const tokenAt = (url: string) => new Config({ url }, {}, directory.path).token.value;
    assert.equal(tokenAt('ws://127.0.0.1:8080'), 'dev-token');
    for (const other of ['http://localhost:8081', 'https://localhost:8080', 'http://example.com:8080']) {
      assert.throws(() => tokenAt(other), /BACKHAUL_TOKEN/, other);
    }
  });

  test('that are wrong are named by where they stand', async () => {
    await using directory = await scratchDirectory();
    const config = (flags: GlobalFlags, env: Environment) => new Config(flags, env, directory.path);
    assert.throws(() => config({ url: 'x' }, {}).url, /^UsageError: --url: /);
    assert.throws(() => config({}, { BACKHAUL_URL: 'ftp://x' }).url, /^UsageError: BACKHAUL_URL: /);
    assert.throws(() => config({}, {}).url, /No server is given/);
  });

  test('in a damaged dev file are refused without showing them', async () => {
    await using cut = await withDevFile(JSON.stringify(dev).slice(0, -5));
    assert.throws(
      () => new Config({}, {}, cut.path).url,
      (error: Error) => /is not JSON/.test(error.message) && !error.message.includes('dev-token'),
    );
    await using other = await withDevFile('{"server_url":"http://localhost"}');
    assert.throws(() => new Config({}, {}, other.path).url, /operator_token/);
  });
});
