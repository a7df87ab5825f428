import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { commandVersion } from './command-version.ts';
import type { Peer } from './peer.ts';
import { timedCommand } from './timed-command.ts';

/** The floor: one PUT of the whole file, as one part, with nothing computed. */
export const curl: Peer = {
  name: 'curl -T',
  version: (signal) => commandVersion('curl', ['--version'], { signal }),
  send: async ({ file, store, signal }) => {
    const place = { Bucket: store.bucket, Key: 'curl' };
    const { UploadId } = await store.client.send(new CreateMultipartUploadCommand(place));
    const upload = { ...place, UploadId };
    const url = await getSignedUrl(store.client, new UploadPartCommand({ ...upload, PartNumber: 1 }));
    try {
      return await timedCommand(['curl', '--silent', '--show-error', '--fail', '-T', file, url], { signal });
    } finally {
      await store.client.send(new AbortMultipartUploadCommand(upload));
    }
  },
};
