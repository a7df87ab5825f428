import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  GetObjectCommand,
  S3Client,
  UploadPartCommand,
  type UploadPartCommandInput,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { ChecksumMode } from '@backhaul/protocol';
import type { SigningCredentials } from './credential-source.ts';
import {
  attachment,
  bucketAddress,
  presignUrl,
  signGetUrl,
  signingWindow,
  signPartUrl,
} from './presigned-url.ts';
import type { S3Settings } from './s3-settings.ts';

const now = Date.UTC(2025, 10, 1, 10, 15, 0, 123);
const lasting: SigningCredentials = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'secret/+key',
  expiresAt: null,
};
const temporary: SigningCredentials = { ...lasting, sessionToken: 'IQoJ/+b3==' };

const settings: S3Settings = {
  region: 'eu-central-1',
  bucket: 'my-app-uploads',
  keyPrefix: 'uploads',
  forcePathStyle: false,
  storageClass: { wanted: null, required: false },
  sse: { wanted: null, required: false },
  checksum: 'auto',
  presignExpirySeconds: 900,
};

const targets: { name: string; settings: S3Settings }[] = [
  { name: 'AWS', settings },
  { name: 'AWS China', settings: { ...settings, region: 'cn-north-1' } },
  { name: 'a dotted bucket name', settings: { ...settings, bucket: 'my.app.uploads' } },
  {
    name: 'an endpoint with a port, path style',
    settings: { ...settings, endpoint: 'http://minio:9000', forcePathStyle: true },
  },
  {
    name: 'an endpoint in virtual-host style',
    settings: { ...settings, endpoint: 'https://objects.example.com' },
  },
  {
    name: 'an endpoint with a path',
    settings: { ...settings, endpoint: 'https://example.com/s3', forcePathStyle: true },
  },
  {
    name: "an endpoint that names its protocol's own port",
    settings: { ...settings, endpoint: 'http://minio:80', forcePathStyle: true },
  },
];

function sdkClient(target: S3Settings, credentials: SigningCredentials): S3Client {
  return new S3Client({
    region: target.region,
    forcePathStyle: target.forcePathStyle,
    ...(target.endpoint !== undefined && { endpoint: target.endpoint }),
    credentials: {
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken !== undefined && { sessionToken: credentials.sessionToken }),
    },
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
}

/**
 * The SDK adds parameters of its own (`x-id`, `X-Amz-Content-Sha256`), so whole URLs differ. This re-signs the SDK's
 * URL with its own parameters, which must produce the SDK's signature.
 */
function resign(
  sdkUrl: string,
  request: {
    method: 'GET' | 'PUT';
    key: string;
    target: S3Settings;
    credentials: SigningCredentials;
    headers: Record<string, string>;
  },
): string {
  const query = Object.fromEntries(
    [...new URL(sdkUrl).searchParams].filter(([name]) => !/^X-Amz-(?!Content-Sha256)/.test(name)),
  );
  const { method, key, target, credentials, headers } = request;
  const address = bucketAddress(
    sdkClient(target, credentials).config.endpointProvider,
    target,
    target.endpoint,
  );
  return presignUrl(address, signingWindow(credentials, now, 900), { method, key, query, headers });
}

function sortedParameters(url: string): string[] {
  return [...new URL(url).searchParams].map(([name, value]) => `${name}=${value}`).sort();
}

const checksums = {
  crc32: 'NSRBwg==',
  sha256: 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=',
  md5: 'CY9rzUYh03PK3k6DJie09g==',
};
const sdkChecksum: Record<ChecksumMode, Partial<UploadPartCommandInput>> = {
  crc32: { ChecksumCRC32: checksums.crc32 },
  sha256: { ChecksumSHA256: checksums.sha256 },
  md5: { ContentMD5: checksums.md5 },
  none: {},
};

for (const target of targets) {
  for (const credentials of [lasting, temporary]) {
    const kind = credentials.sessionToken === undefined ? 'lasting' : 'temporary';
    test(`part URLs have the signature the SDK makes: ${target.name}, ${kind} credentials`, async () => {
      const client = sdkClient(target.settings, credentials);
      const address = bucketAddress(
        client.config.endpointProvider,
        target.settings,
        target.settings.endpoint,
      );
      const upload = {
        key: "uploads/till-1/ä ö+&=%'()*!~/report (1).bin",
        s3UploadId: 'id/with+odd=chars&x',
      };
      for (const mode of ['crc32', 'sha256', 'md5', 'none'] as const) {
        const part = { partNumber: 7, sizeBytes: 5_242_880, ...checksums };
        const ours = signPartUrl(address, signingWindow(credentials, now, 900), { upload, part, mode });
        const command = new UploadPartCommand({
          Bucket: target.settings.bucket,
          Key: upload.key,
          UploadId: upload.s3UploadId,
          PartNumber: 7,
          ContentLength: part.sizeBytes,
          ...sdkChecksum[mode],
        });
        const names = Object.keys(ours.headers);
        const theirs = await getSignedUrl(client, command, {
          expiresIn: 900,
          signingDate: new Date(now),
          unhoistableHeaders: new Set(names),
          signableHeaders: new Set(['host', ...names]),
        });
        const resigned = resign(theirs, {
          method: 'PUT',
          key: upload.key,
          target: target.settings,
          credentials,
          headers: ours.headers,
        });
        assert.deepEqual(sortedParameters(resigned), sortedParameters(theirs));
        const [path, theirPath] = [new URL(resigned), new URL(theirs)].map(
          ({ origin, pathname }) => origin + pathname,
        );
        assert.equal(path, theirPath);
        assert.equal(new URL(ours.url).origin + new URL(ours.url).pathname, theirPath);
        assert.equal(
          new URL(ours.url).searchParams.get('X-Amz-SignedHeaders'),
          new URL(theirs).searchParams.get('X-Amz-SignedHeaders'),
        );
      }
    });
  }
}

test('GET URLs have the signature the SDK makes, with version and file name', async () => {
  const client = sdkClient(settings, temporary);
  const address = bucketAddress(client.config.endpointProvider, settings, undefined);
  const request = { key: 'uploads/till-1/x/report.bin', versionId: 'v+1/=', fileName: 'Umsätze "Q3".csv' };
  const ours = signGetUrl(address, signingWindow(temporary, now, 900), request);
  const theirs = await getSignedUrl(
    client,
    new GetObjectCommand({
      Bucket: settings.bucket,
      Key: request.key,
      VersionId: request.versionId,
      ResponseContentDisposition: attachment(request.fileName),
    }),
    { expiresIn: 900, signingDate: new Date(now) },
  );
  const resigned = resign(theirs, {
    method: 'GET',
    key: request.key,
    target: settings,
    credentials: temporary,
    headers: {},
  });
  assert.deepEqual(sortedParameters(resigned), sortedParameters(theirs));
  assert.equal(new URL(ours).searchParams.get('response-content-disposition'), attachment(request.fileName));
  assert.equal(new URL(ours).searchParams.get('versionId'), request.versionId);
});

test('a part URL lists the headers to send, and signs exactly these and the host', () => {
  const address = bucketAddress(sdkClient(settings, lasting).config.endpointProvider, settings, undefined);
  const signed = (mode: ChecksumMode) => {
    const { url, headers } = signPartUrl(address, signingWindow(lasting, now, 900), {
      upload: { key: 'k', s3UploadId: 'u' },
      part: { partNumber: 1, sizeBytes: 0, ...checksums },
      mode,
    });
    assert.deepEqual(
      new URL(url).searchParams.get('X-Amz-SignedHeaders')?.split(';'),
      ['host', ...Object.keys(headers)].sort(),
    );
    return headers;
  };
  assert.deepEqual(signed('crc32'), { 'content-length': '0', 'x-amz-checksum-crc32': checksums.crc32 });
  assert.deepEqual(signed('sha256'), { 'content-length': '0', 'x-amz-checksum-sha256': checksums.sha256 });
  assert.deepEqual(signed('md5'), { 'content-length': '0', 'content-md5': checksums.md5 });
  assert.deepEqual(signed('none'), { 'content-length': '0' });
});

test('a part without its mode’s checksum gets no URL', () => {
  const address = bucketAddress(sdkClient(settings, lasting).config.endpointProvider, settings, undefined);
  const request = {
    upload: { key: 'k', s3UploadId: 'u' },
    part: { partNumber: 3, sizeBytes: 1, crc32: checksums.crc32 },
    mode: 'md5',
  } as const;
  assert.throws(() => signPartUrl(address, signingWindow(lasting, now, 900), request), {
    kind: 'invalid_parts',
    message: /Part 3 has no md5/,
  });
});

test('keys that URL parsers would resolve get no URL', () => {
  const address = bucketAddress(sdkClient(settings, lasting).config.endpointProvider, settings, undefined);
  for (const key of ['a/../b', './a', 'a/..']) {
    const request = { key, versionId: null, fileName: 'x' };
    assert.throws(() => signGetUrl(address, signingWindow(lasting, now, 900), request), RangeError);
  }
});

test('no URL claims a longer lifetime than its credentials have', () => {
  const dying = { ...temporary, expiresAt: now + 100_000 };
  const window = signingWindow(dying, now, 900);
  assert.ok(window.expiresAt <= dying.expiresAt);
  assert.equal(window.expirySeconds, 100);
  assert.equal(window.signedAt % 1000, 0);
  assert.equal(signingWindow(lasting, now, 900).expirySeconds, 900);
});

test('a plain name appears in both forms', () => {
  assert.equal(attachment('report.bin'), `attachment; filename="report.bin"; filename*=UTF-8''report.bin`);
});

test('names in other alphabets are preserved in the extended form', () => {
  assert.equal(
    attachment('Umsätze.csv'),
    `attachment; filename="Ums_tze.csv"; filename*=UTF-8''Ums%C3%A4tze.csv`,
  );
});

test('no character breaks out of the quotes or the header', () => {
  const header = attachment('a"; filename="b\r\nSet-Cookie: x\\%41');
  assert.match(header, /^attachment; filename="[^"\\%\r\n]*"; filename\*=UTF-8''[A-Za-z0-9%._~-]*$/);
});

test('directories and leading dots are removed from a name', () => {
  assert.match(attachment('../../etc/passwd'), /filename="passwd"/);
  assert.match(attachment('.bashrc'), /filename="_bashrc"/);
  assert.match(attachment('C:\\temp\\x.txt'), /filename="x.txt"/);
});

test('bidirectional control characters are removed', () => {
  assert.doesNotMatch(attachment('invoice\u202Efdp.exe'), /%E2%80%AE/);
});

test('long names keep their extension; broken and empty names get a replacement', () => {
  assert.match(attachment(`${'x'.repeat(1000)}.csv`), /filename="x{236}\.csv"/);
  assert.match(attachment('\uD800.txt'), /\.txt"/);
  assert.match(attachment(''), /filename="file"/);
});
