/** The embedded store as a separate program that discards all bytes; see `discarding-store.ts`. */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { OPERATIONS, type Operation, S3Error, startObjectStore } from 'backhaul-object-store';
import { uploadAndDiscardPart } from './upload-and-discard-part.ts';
import { uploadAndTrustPart } from './upload-and-trust-part.ts';

/** Refuses operations that read or write whole objects. */
const refused: Operation = () => {
  throw new S3Error('NotImplemented', 'This store keeps no bytes: it takes multipart uploads only.');
};

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    bucket: { type: 'string' },
    'access-log': { type: 'string' },
    trusting: { type: 'boolean', default: false },
  },
});
const { data, bucket, trusting, 'access-log': accessLog } = values;
if (data === undefined || bucket === undefined) throw new TypeError('--data and --bucket are needed');
const { BACKHAUL_STORE_ACCESS_KEY: accessKey = '', BACKHAUL_STORE_SECRET_KEY: secretKey = '' } = process.env;

// The process also ends if its parent is killed.
const parentGone = once(process.stdin.resume(), 'close');
const stopped = once(process, 'SIGTERM');
await using store = await startObjectStore({
  port: 0,
  dataDir: data,
  buckets: [bucket],
  accessKey,
  secretKey,
  ...(accessLog !== undefined && { accessLog }),
  operations: {
    ...OPERATIONS,
    UploadPart: trusting ? uploadAndTrustPart : uploadAndDiscardPart,
    UploadPartCopy: refused,
    PutObject: refused,
    CopyObject: refused,
    GetObject: refused,
  },
});
process.stdout.write(`${JSON.stringify({ event: 'listening', url: store.url })}\n`);
await Promise.race([parentGone, stopped]);
process.stdin.destroy();
