import assert from 'node:assert/strict';
import test from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { StoragePolicy } from './storage-policy.ts';

function verdict(
  url: string,
  options: { origins?: string[]; local?: boolean; headers?: Record<string, string> } = {},
) {
  const policy = new StoragePolicy({
    origins: options.origins ?? [],
    serverIsLocal: options.local ?? false,
    ownAddresses: () => ['192.0.2.7', '2001:db8::7'],
  });
  try {
    policy.check(new URL(url), options.headers ?? {});
    return 'allowed';
  } catch (error) {
    assert.ok(error instanceof BackhaulError && error.code === 'storage_not_allowed');
    assert.doesNotMatch(error.message, /signature/i, 'no query in the message');
    return 'refused';
  }
}

test('https anywhere is allowed, http is not', () => {
  assert.equal(verdict('https://bucket.s3.amazonaws.com/k?X-Amz-Signature=signature'), 'allowed');
  assert.equal(verdict('http://bucket.s3.amazonaws.com/k?X-Amz-Signature=signature'), 'refused');
  assert.equal(verdict('http://10.0.0.5:9000/k'), 'refused');
});

test('http to this machine is allowed for a server on this machine only', () => {
  for (const url of [
    'http://localhost:9000/k',
    'http://127.0.0.1:9000/k',
    'http://[::1]:9000/k',
    'http://127.1/k',
    'http://0.0.0.0/k',
    'http://0/k',
    'http://[::]/k',
    'http://[::127.0.0.1]/k',
    'http://[::ffff:0.0.0.0]/k',
    'http://[64:ff9b::7f00:1]/k',
    'http://192.0.2.7/k',
    'http://[2001:db8::7]/k',
    'http://[64:ff9b::192.0.2.7]/k',
  ]) {
    assert.equal(verdict(url, { local: true }), 'allowed', url);
    assert.equal(verdict(url, { local: false }), 'refused', url);
  }
  assert.equal(verdict('https://localhost/k', { local: false }), 'refused');
  assert.equal(verdict('http://10.0.0.5:9000/k', { local: true }), 'refused');
});

test('--allow-storage allows http to its origins, and pins uploads to them', () => {
  const origins = ['http://store.internal:9000', 'https://bucket.example.com'];
  assert.equal(verdict('http://store.internal:9000/k', { origins }), 'allowed');
  assert.equal(verdict('https://bucket.example.com:443/k', { origins }), 'allowed');
  for (const url of [
    'http://store.internal:9001/k',
    'https://store.internal:9000/k',
    'http://store.internal:9000@evil.example/k',
    'https://bucket.example.com.evil.example/k',
    'https://evil.example/https://bucket.example.com/',
    'https://s3.amazonaws.com/k',
    'http://localhost:9000/k',
  ]) {
    assert.equal(verdict(url, { origins, local: true }), 'refused', url);
  }
});

test('metadata and link-local addresses are refused in every spelling, even when pinned', () => {
  for (const host of [
    '169.254.169.254',
    '0xa9fea9fe',
    '2852039166',
    '0251.0376.0251.0376',
    '[fe80::1]',
    '[fd00:ec2::254]',
    '[::ffff:169.254.169.254]',
    '[64:ff9b::169.254.169.254]',
    '[64:ff9b::100.100.100.200]',
    '[::169.254.169.254]',
    '[::100.100.100.200]',
    '100.100.100.200',
  ]) {
    const url = `http://${host}/latest/meta-data`;
    assert.equal(verdict(url, { origins: [new URL(url).origin], local: true }), 'refused', host);
    assert.equal(verdict(url.replace('http', 'https')), 'refused', host);
  }
});

test('a user name in the address and headers that reframe the request are refused', () => {
  assert.equal(verdict('https://user@bucket.example.com/k'), 'refused');
  for (const header of [
    'Host',
    'Transfer-Encoding',
    'connection',
    'Expect',
    'Proxy-Authorization',
    'Upgrade',
  ]) {
    assert.equal(verdict('https://bucket.example.com/k', { headers: { [header]: 'x' } }), 'refused', header);
  }
  assert.equal(
    verdict('https://bucket.example.com/k', { headers: { 'content-md5': 'x', 'x-amz-acl': 'y' } }),
    'allowed',
  );
});

test('a name that leads into this machine or to metadata is refused at the look-up', async () => {
  const lookup = (
    address: string,
    options: { origins?: string[]; serverIsLocal?: boolean; name?: string } = {},
  ) => {
    const policy = new StoragePolicy({
      origins: options.origins ?? [],
      serverIsLocal: options.serverIsLocal ?? false,
      ownAddresses: () => ['192.0.2.7', '2001:db8::7'],
      resolve: (_name, _options, callback) =>
        callback(null, [{ address, family: address.includes(':') ? 6 : 4 }]),
    });
    return new Promise<string>((resolve) => {
      policy.lookup(options.name ?? 'store.example', {}, (error, found) => {
        resolve(
          error === null && typeof found === 'string'
            ? found
            : ((error as { code?: string } | null)?.code ?? 'unknown'),
        );
      });
    });
  };
  assert.equal(await lookup('93.184.216.34'), '93.184.216.34');
  assert.equal(await lookup('127.0.0.1'), 'storage_not_allowed');
  for (const address of ['::1', '0.0.0.0', '::', '192.0.2.7', '2001:db8::7']) {
    assert.equal(await lookup(address), 'storage_not_allowed', address);
  }
  assert.equal(await lookup('192.0.2.8'), '192.0.2.8');
  assert.equal(await lookup('192.0.2.7', { serverIsLocal: true }), '192.0.2.7');
  assert.equal(await lookup('127.0.0.1', { serverIsLocal: true }), '127.0.0.1');
  assert.equal(await lookup('127.0.0.1', { origins: ['http://store.example:9000'] }), '127.0.0.1');
  assert.equal(await lookup('127.0.0.1', { name: 'localhost' }), '127.0.0.1', 'check() has judged that name');
  for (const address of ['169.254.169.254', 'fe80::1', '::ffff:169.254.169.254']) {
    const code = await lookup(address, { serverIsLocal: true, origins: ['https://store.example'] });
    assert.equal(code, 'storage_not_allowed', address);
  }
});
