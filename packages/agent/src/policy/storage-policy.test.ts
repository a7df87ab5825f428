import assert from 'node:assert/strict';
import test from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { StoragePolicy } from './storage-policy.ts';

function decision(
  url: string,
  options: { origins?: string[]; local?: boolean; headers?: Record<string, string> } = {},
) {
  const policy = new StoragePolicy({
    origins: options.origins ?? [],
    serverIsLocal: options.local ?? false,
    ownAddresses: () => ['198.51.100.7', '2001:db8::7'],
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

test('https is allowed everywhere, http is not', () => {
  assert.equal(decision('https://bucket.s3.amazonaws.com/k?X-Amz-Signature=signature'), 'allowed');
  assert.equal(decision('http://bucket.s3.amazonaws.com/k?X-Amz-Signature=signature'), 'refused');
  assert.equal(decision('http://10.0.0.5:9000/k'), 'refused');
});

test('http to this machine is allowed only for a server on this machine', () => {
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
    'http://198.51.100.7/k',
    'http://[2001:db8::7]/k',
    'http://[64:ff9b::198.51.100.7]/k',
  ]) {
    assert.equal(decision(url, { local: true }), 'allowed', url);
    assert.equal(decision(url, { local: false }), 'refused', url);
  }
  assert.equal(decision('https://localhost/k', { local: false }), 'refused');
  assert.equal(decision('http://10.0.0.5:9000/k', { local: true }), 'refused');
});

test('--allow-storage allows http to its origins and restricts uploads to them', () => {
  const origins = ['http://store.internal:9000', 'https://bucket.example.com'];
  assert.equal(decision('http://store.internal:9000/k', { origins }), 'allowed');
  assert.equal(decision('https://bucket.example.com:443/k', { origins }), 'allowed');
  for (const url of [
    'http://store.internal:9001/k',
    'https://store.internal:9000/k',
    'http://store.internal:9000@evil.example/k',
    'https://bucket.example.com.evil.example/k',
    'https://evil.example/https://bucket.example.com/',
    'https://s3.amazonaws.com/k',
    'http://localhost:9000/k',
  ]) {
    assert.equal(decision(url, { origins, local: true }), 'refused', url);
  }
});

/** Spellings of hosts that the owner must name explicitly, or that are refused even then. */
const refusedHosts: Record<'metadata' | 'private', readonly string[]> = {
  metadata: [
    '169.254.169.254',
    '169.254.170.2',
    '0xa9fea9fe',
    '0xa9.0xfe.0xa9.0xfe',
    '2852039166',
    '0251.0376.0251.0376',
    '169.254.43518',
    '169.16689662',
    '%31%36%39.254.169.254',
    '１６９.254.169.254',
    '169。254。169。254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '[fe80::1]',
    '[fe80::a9fe:a9fe]',
    '[febf::1]',
    '[fd00:ec2::254]',
    '[fd00:ec2::23]',
    '[fd00:0ec2:0:0:0:0:0:254]',
    '[fd20:ce::254]',
    '[fd00:c1::a9fe:a9fe]',
    '[fd00:42::42]',
    '[::ffff:169.254.169.254]',
    '[::ffff:a9fe:a9fe]',
    '[0:0:0:0:0:ffff:a9fe:a9fe]',
    '[::ffff:168.63.129.16]',
    '[::ffff:0:169.254.169.254]',
    '[::169.254.169.254]',
    '[::100.100.100.200]',
    '[64:ff9b::169.254.169.254]',
    '[64:ff9b::100.100.100.200]',
    '[64:ff9b::192.0.0.192]',
    '[64:ff9b:1::169.254.169.254]',
    '[64:ff9b:1:a9fe:a9:fe00::]',
    '[64:ff9b:1:a9:fe:a9fe::]',
    '[64:ff9b:1:0:a9:fea9:fe00::]',
    '[2002:a9fe:a9fe::]',
    '[2002:a9fe:a9fe:1::5]',
    '[2002:a83f:8110::1]',
    '[2001:0:a9fe:a9fe::1]',
    '[2001:0:4136:e378:8000:63bf:5601:5601]',
    '[fe80::5efe:169.254.169.254]',
    '[2a00:1450::5efe:169.254.169.254]',
    '[2a00:1450::200:5efe:a9fe:a9fe]',
    'metadata.google.internal',
    'METADATA.google.internal.',
    'metadata.goog',
  ],
  private: [
    '10.0.0.5',
    '10.255.255.255',
    '0x0a000005',
    '167772165',
    '012.0.0.5',
    '172.16.0.1',
    '172.31.255.254',
    '192.168.1.10',
    '192.168.266',
    '100.64.0.1',
    '100.127.255.254',
    '192.0.0.8',
    '192.0.2.1',
    '198.18.0.1',
    '198.19.255.1',
    '198.51.100.1',
    '203.0.113.9',
    '192.88.99.1',
    '224.0.0.1',
    '239.255.255.250',
    '240.0.0.1',
    '255.255.255.255',
    '[fc00::1]',
    '[fd12:3456:789a::1]',
    '[fec0::1]',
    '[ff02::1]',
    '[100::1]',
    '[2001:db8::1]',
    '[3fff::1]',
    '[5f00::1]',
    '[4000::1]',
    '[2001:2::1]',
    '[2001:20::1]',
    '[::ffff:10.0.0.5]',
    '[::ffff:192.168.1.10]',
    '[::ffff:0:10.0.0.5]',
    '[64:ff9b::10.0.0.5]',
    '[64:ff9b::c0a8:10a]',
    '[64:ff9b:1::10.0.0.5]',
    '[64:ff9b:1::8.8.8.8]',
    '[2002:0a00:0005::1]',
    '[2002:808:808::1]',
    '[2001:0:808:808::f7f7:f7f7]',
    '[2a00:1450::5efe:10.0.0.5]',
    '[2a00:1450::5efe:8.8.8.8]',
  ],
};

const publicHosts = [
  '52.219.170.1',
  '11.0.0.1',
  '172.32.0.1',
  '100.128.0.1',
  '223.255.255.1',
  '[2a05:d07a:a000::1]',
  '[2600:1fa0:8000::1]',
  '[64:ff9b::52.219.170.1]',
  '[::ffff:52.219.170.1]',
  '[2001:4860:4860::8888]',
  'bucket.s3.eu-central-1.amazonaws.com',
];

for (const host of refusedHosts.metadata) {
  test(`${host} belongs to a metadata service and is refused even if named`, () => {
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}/latest/meta-data`;
      assert.equal(decision(url, { origins: [new URL(url).origin], local: true }), 'refused', scheme);
      assert.equal(decision(url), 'refused', scheme);
      assert.equal(decision(url, { local: true }), 'refused', scheme);
    }
  });
}

for (const host of refusedHosts.private) {
  test(`${host} belongs to a private or reserved network and is refused unless named`, () => {
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}/bucket/key`;
      assert.equal(decision(url), 'refused', scheme);
      assert.equal(decision(url, { local: true }), 'refused', scheme);
      assert.equal(decision(url, { origins: [new URL(url).origin] }), 'allowed', scheme);
    }
  });
}

test('public addresses and names are allowed with https', () => {
  for (const host of publicHosts) assert.equal(decision(`https://${host}/key`), 'allowed', host);
});

test('the error names the flag that allows the address, and never contains the query of the URL', () => {
  const policy = new StoragePolicy({ origins: [], serverIsLocal: false, ownAddresses: () => [] });
  const message = (url: string): string => {
    try {
      policy.check(new URL(url), {});
    } catch (error) {
      return error instanceof Error ? error.message : '';
    }
    return '';
  };
  assert.equal(
    message('https://10.0.0.5:9000/bucket/key?X-Amz-Signature=secret'),
    'The agent does not upload to https://10.0.0.5:9000: it is an address of a private or reserved network. ' +
      'To allow it, start the agent with --allow-storage https://10.0.0.5:9000.',
  );
  assert.match(message('http://minio.corp/k'), /--allow-storage http:\/\/minio\.corp\.$/);
  assert.match(message('https://127.0.0.1/k'), /--allow-storage https:\/\/127\.0\.0\.1\.$/);
  assert.doesNotMatch(message('https://169.254.169.254/k'), /--allow-storage/);
});

test('a user name in the URL is refused', () => {
  assert.equal(decision('https://user@bucket.example.com/k'), 'refused');
  assert.equal(decision('https://user:secret@bucket.example.com/k'), 'refused');
});

const refusedHeaders = [
  'Host',
  'Transfer-Encoding',
  'connection',
  'Expect',
  'TE',
  'Trailer',
  'Proxy-Authorization',
  'Upgrade',
  'Authorization',
  'Cookie',
  'X-HTTP-Method-Override',
  'X-Forwarded-For',
  'X-Api-Key',
  'Metadata-Flavor',
  'X-aws-ec2-metadata-token',
  'x-amz-acl',
  'x-amz-copy-source',
  'x-amz-security-token',
  'x-amz-checksum-crc32x',
  'content-md5x',
  'Content-Encoding',
  'Origin',
  'Referer',
  'User-Agent',
  'If-Match',
  'Range',
];

for (const header of refusedHeaders) {
  test(`the header ${header} is refused, also for a named store`, () => {
    const headers = { 'content-length': '5', [header]: 'x' };
    assert.equal(decision('https://bucket.example.com/k', { headers }), 'refused');
    const origins = ['https://bucket.example.com'];
    assert.equal(decision('https://bucket.example.com/k', { headers, origins }), 'refused');
  });
}

test('the headers that part URLs are bound to are allowed in any case', () => {
  for (const header of [
    'content-length',
    'Content-MD5',
    'content-type',
    'x-amz-checksum-crc32',
    'X-Amz-Checksum-SHA256',
    'x-amz-checksum-crc64nvme',
    'x-amz-sdk-checksum-algorithm',
  ]) {
    assert.equal(decision('https://bucket.example.com/k', { headers: { [header]: 'x' } }), 'allowed', header);
  }
});

test('a name that resolves to this machine or to a metadata address is refused at the lookup', async () => {
  const lookup = (
    address: string,
    options: { origins?: string[]; serverIsLocal?: boolean; name?: string } = {},
  ): Promise<string> => {
    const policy = new StoragePolicy({
      origins: options.origins ?? [],
      serverIsLocal: options.serverIsLocal ?? false,
      ownAddresses: () => ['198.51.100.7', '2001:db8::7'],
      resolve: (_name, _options, callback) =>
        callback(null, [{ address, family: address.includes(':') ? 6 : 4 }]),
    });
    return new Promise<string>((resolve) => {
      const name = options.name ?? 'store.example';
      policy.lookupFor(new URL(options.origins?.[0] ?? `https://${name}`))(name, {}, (error, found) => {
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
  for (const address of ['::1', '0.0.0.0', '::', '198.51.100.7', '2001:db8::7']) {
    assert.equal(await lookup(address), 'storage_not_allowed', address);
  }
  assert.equal(await lookup('198.51.100.7', { serverIsLocal: true }), '198.51.100.7');
  assert.equal(await lookup('127.0.0.1', { serverIsLocal: true }), '127.0.0.1');
  assert.equal(await lookup('127.0.0.1', { origins: ['http://store.example:9000'] }), '127.0.0.1');
  assert.equal(
    await lookup('127.0.0.1', { name: 'localhost' }),
    '127.0.0.1',
    'check() has already decided on this name',
  );
  for (const address of ['10.0.0.5', '192.168.1.1', '100.64.0.1', 'fd12::1', '64:ff9b::10.0.0.5']) {
    assert.equal(await lookup(address), 'storage_not_allowed', address);
    assert.equal(await lookup(address, { serverIsLocal: true }), 'storage_not_allowed', address);
    assert.equal(await lookup(address, { origins: ['https://store.example'] }), address);
  }
  for (const address of [
    '169.254.169.254',
    'fe80::1',
    'fe80::1%eth0',
    '::ffff:169.254.169.254',
    '168.63.129.16',
    'fd20:ce::254',
    '2002:a9fe:a9fe::1',
  ]) {
    const code = await lookup(address, { serverIsLocal: true, origins: ['https://store.example'] });
    assert.equal(code, 'storage_not_allowed', address);
  }
});

test('a name is refused if one of its addresses is, and the server does not learn which', async () => {
  const policy = new StoragePolicy({
    origins: [],
    serverIsLocal: false,
    ownAddresses: () => [],
    resolve: (_name, _options, callback) =>
      callback(null, [
        { address: '52.219.170.1', family: 4 },
        { address: '10.1.2.3', family: 4 },
      ]),
  });
  const refusal = await new Promise<unknown>((resolve) => {
    const url = new URL('https://rebind.example:8443/k?X-Amz-Signature=secret');
    policy.lookupFor(url)('rebind.example', { all: true }, resolve);
  });
  assert.ok(refusal instanceof BackhaulError && refusal.cause instanceof Error);
  assert.equal(
    refusal.message,
    'The agent does not upload to https://rebind.example:8443: the name resolves to an address of a private or reserved network. ' +
      'To allow it, start the agent with --allow-storage https://rebind.example:8443.',
  );
  assert.match(refusal.cause.message, /10\.1\.2\.3/);
});
