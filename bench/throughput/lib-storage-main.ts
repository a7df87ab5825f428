/** Sends a file in parts with the AWS SDK, as a script would. */
import { createReadStream } from 'node:fs';
import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

interface Order {
  readonly file: string;
  readonly endpoint: string;
  readonly bucket: string;
  readonly partBytes: number;
  readonly parallel: number;
}

const order = JSON.parse(process.argv[2] ?? '') as Order;
const client = new S3Client({ endpoint: order.endpoint, forcePathStyle: true });
await new Upload({
  client,
  params: { Bucket: order.bucket, Key: 'lib-storage', Body: createReadStream(order.file) },
  partSize: order.partBytes,
  queueSize: order.parallel,
}).done();
