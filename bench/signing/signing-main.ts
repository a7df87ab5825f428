/** Signs part URLs in a separate process; see `signing-order.ts`. */
import { randomBytes } from 'node:crypto';
import { S3Client, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { answerOrders } from '../side-process/answer-orders.ts';
import type { SigningOrder, SigningReport } from './signing-order.ts';

/** The server's code as shipped. */
const shipped = new URL('../../dist/packages/server/dist/s3/presigned-url.js', import.meta.url);
const { signPartUrl } = (await import(shipped.href)) as {
  signPartUrl: (address: object, window: object, request: object) => { readonly url: string };
};

const bucket = 'my-app-uploads';
const region = 'eu-central-1';
const key = 'uploads/restaurant-1/0198c0de-7a3b-7c5d-9e8f-0a1b2c3d4e5f/report.bin';
const s3UploadId = randomBytes(96).toString('base64url');
const sizeBytes = 5 * 1024 * 1024;
const expirySeconds = 900;
/** Temporary credentials with a token as long as those of instance roles. */
const credentials = {
  accessKeyId: 'ASIAIOSFODNN7EXAMPLE',
  secretAccessKey: randomBytes(30).toString('base64'),
  sessionToken: randomBytes(750).toString('base64'),
};

const client = new S3Client({ region, credentials, requestChecksumCalculation: 'WHEN_REQUIRED' });

await answerOrders(async (order) => {
  const { signer, count } = order as SigningOrder;
  const sign = signer === 'backhaul' ? signWithBackhaul() : signWithSdk;
  let url = '';
  const before = process.cpuUsage();
  for (let part = 1; part <= count; part += 1) {
    const crc32 = checksumOf(part);
    url = await sign(((part - 1) % 10_000) + 1, crc32);
  }
  const { user, system } = process.cpuUsage(before);
  return { cpuSeconds: (user + system) / 1e6, url } satisfies SigningReport;
});

/** Signs all URLs in one window, as a server does for one message. */
function signWithBackhaul(): (partNumber: number, crc32: string) => string {
  const address = {
    ...{ protocol: 'https:', basePath: '/', region },
    host: `${bucket}.s3.${region}.amazonaws.com`,
  };
  const signedAt = Math.floor(Date.now() / 1000) * 1000;
  const window = { credentials, signedAt, expirySeconds, expiresAt: signedAt + expirySeconds * 1000 };
  const upload = { key, s3UploadId };
  return (partNumber, crc32) =>
    signPartUrl(address, window, { upload, part: { partNumber, sizeBytes, crc32 }, mode: 'crc32' }).url;
}

function signWithSdk(partNumber: number, crc32: string): Promise<string> {
  const command = new UploadPartCommand({
    ...{ Bucket: bucket, Key: key, UploadId: s3UploadId, PartNumber: partNumber },
    ...{ ContentLength: sizeBytes, ChecksumCRC32: crc32 },
  });
  const bound = new Set(['x-amz-checksum-crc32', 'content-length']);
  return getSignedUrl(client, command, {
    ...{ expiresIn: expirySeconds, unhoistableHeaders: bound, signableHeaders: new Set(['host', ...bound]) },
  });
}

/** Returns a different checksum for each part. */
function checksumOf(part: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE((part * 2_654_435_761) % 2 ** 32);
  return bytes.toString('base64');
}
