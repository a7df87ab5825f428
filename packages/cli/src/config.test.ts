import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { mintToken } from './commands/token.ts';
import { Config, type Environment, type GlobalFlags } from './config.ts';
import { temporaryDirectory } from '../../../test/harness/temporary-directory.ts';

const dev = {
  server_url: 'http://localhost:8080',
  operator_token: 'dev-token',
  jwt_secret: 'a development secret that is long enough',
  pid: 1,
};

async function tokenOf(secret: string): Promise<string> {
  const request = { kind: 'operator', subject: 'ops', scopes: ['read'], ttlSeconds: 60 } as const;
  return await mintToken(request, { value: secret, source: 'JWT_SECRET' }, Date.now());
}

async function withDevFile(text = JSON.stringify(dev)) {
  const directory = await temporaryDirectory();
  await mkdir(path.join(directory.path, path.dirname(DEV_FILE)));
  await writeFile(path.join(directory.path, DEV_FILE), text, { mode: 0o600 });
  return directory;
}

describe('settings', () => {
  test('are taken from flags, then the environment, then the dev file', async () => {
    await using directory = await withDevFile();
    const env: Environment = { BACKHAUL_URL: 'https://env', BACKHAUL_TOKEN: 'env', JWT_SECRET: 'env-secret' };
    const flags: GlobalFlags = { url: 'https://flag', token: 'flag' };
    const all = new Config(flags, env, directory.path);
    assert.deepEqual(
      [all.url.value, all.token.value, all.jwtSecret.value],
      ['https://flag', 'flag', 'env-secret'],
    );
    const some = new Config({}, env, directory.path);
    assert.deepEqual([some.url.value, some.token.value], ['https://env', 'env']);
    const none = new Config({}, { BACKHAUL_URL: '' }, directory.path);
    assert.deepEqual(none.url, { value: dev.server_url, source: DEV_FILE });
    assert.deepEqual(none.token, { value: 'dev-token', source: DEV_FILE });
    assert.equal(none.jwtSecret.value, dev.jwt_secret);
  });

  test('send the development token only to the development server, in any spelling of its address', async () => {
    await using directory = await withDevFile();
    const tokenAt = (url: string) => new Config({ url }, {}, directory.path).token.value;
    assert.equal(tokenAt('ws://127.0.0.1:8080'), 'dev-token');
    for (const other of ['http://localhost:8081', 'https://localhost:8080', 'https://example.com:8080']) {
      assert.throws(() => tokenAt(other), /BACKHAUL_TOKEN/, other);
    }
  });

  test('accept a proxy without a scheme; an invalid proxy affects only requests that need it', () => {
    const env = { HTTPS_PROXY: 'proxy:3128', HTTP_PROXY: 'socks5://proxy:1080' };
    const { network } = new Config({ url: 'https://backhaul.example.com' }, env, '/none');
    assert.equal(network.proxyOf(new URL('https://backhaul.example.com'))?.address, 'http://proxy:3128');
    assert.throws(() => network.proxyOf(new URL('http://store.example.com')), {
      name: 'UsageError',
      message: /HTTP_PROXY/,
    });
  });

  test('plain HTTP to another machine needs --insecure, which the error names', () => {
    const url = (flags: GlobalFlags, env: Environment = {}) => new Config(flags, env, '/none').url.value;
    for (const address of [
      'http://backhaul.example.com',
      'ws://10.0.0.7:8080',
      'http://localhost.example.com',
    ]) {
      assert.throws(() => url({ url: address }), { name: 'UsageError', fix: /--insecure/ });
      assert.throws(
        () => url({}, { BACKHAUL_URL: address }),
        /^UsageError: BACKHAUL_URL: .*can read the token/,
      );
      assert.equal(url({ url: address, insecure: true }), address);
    }
    for (const address of [
      'https://backhaul.example.com',
      'wss://a',
      'http://localhost',
      'http://[::1]:8080',
    ]) {
      assert.equal(url({ url: address }), address);
    }
  });

  test('the user’s token is not sent to a server named only by the dev file, unless it is a token of that server', async () => {
    await using directory = await withDevFile();
    const token = (flags: GlobalFlags, env: Environment) =>
      new Config(flags, env, directory.path).token.value;
    const foreign = await tokenOf('the secret of another server, which is long enough');
    assert.throws(() => token({}, { BACKHAUL_TOKEN: foreign }), {
      name: 'UsageError',
      fix: /BACKHAUL_URL or --url/,
    });
    assert.throws(() => token({ token: foreign }, {}), /^UsageError: --token is not a token of the server/);
    assert.equal(token({ url: 'https://a', token: foreign }, {}), foreign);
    assert.equal(token({}, { BACKHAUL_TOKEN: foreign, BACKHAUL_URL: 'http://localhost:8080' }), foreign);
    for (const own of ['dev-token', await tokenOf(dev.jwt_secret)]) {
      assert.equal(token({ token: own }, {}), own);
    }
  });

  test('a dev file that others can write or read is not used', async () => {
    await using directory = await withDevFile();
    for (const mode of [0o666, 0o644]) {
      await chmod(path.join(directory.path, DEV_FILE), mode);
      assert.throws(() => new Config({}, {}, directory.path).url, {
        name: 'UsageError',
        message: /not trusted/,
      });
    }
  });

  test('from flags or environment do not read the dev file, which may be untrusted', async () => {
    await using directory = await withDevFile('not JSON');
    await chmod(path.join(directory.path, DEV_FILE), 0o666);
    const env: Environment = { BACKHAUL_URL: 'https://env', BACKHAUL_TOKEN: 'env' };
    const flags: GlobalFlags = { url: 'https://flag', token: 'flag' };
    for (const config of [new Config({}, env, directory.path), new Config(flags, {}, directory.path)]) {
      assert.match(`${config.url.value} ${config.token.value}`, /^https:\/\/(env env|flag flag)$/);
    }
  });

  test('that are invalid are reported with their flag or variable', async () => {
    await using directory = await temporaryDirectory();
    const config = (flags: GlobalFlags, env: Environment) => new Config(flags, env, directory.path);
    assert.throws(() => config({ url: 'x' }, {}).url, /^UsageError: --url: /);
    assert.throws(() => config({}, { BACKHAUL_URL: 'ftp://x' }).url, /^UsageError: BACKHAUL_URL: /);
    assert.throws(() => config({}, {}).url, /No server URL/);
  });

  test('in a damaged dev file are refused and not shown', async () => {
    await using cut = await withDevFile(JSON.stringify(dev).slice(0, -5));
    assert.throws(
      () => new Config({}, {}, cut.path).url,
      (error: Error) => /is not JSON/.test(error.message) && !error.message.includes('dev-token'),
    );
    await using other = await withDevFile('{"server_url":"http://localhost"}');
    assert.throws(() => new Config({}, {}, other.path).url, /operator_token/);
  });
});
