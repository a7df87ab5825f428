import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { installedCommands } from './installed-commands.ts';
import type { FindPeers, PeerRun } from './peer.ts';
import { type CommandUsage, timedCommand } from './timed-command.ts';

export const CURL = 'curl -T';

/** The baseline: one PUT of the whole file, with no computation. */
export const findCurl: FindPeers = async (signal) => {
  const [installed] = await installedCommands('curl', ['--version'], { signal });
  return installed === undefined ? [] : [{ name: CURL, send }];
};

async function send({ file, store, signal }: PeerRun): Promise<CommandUsage> {
  const place = { Bucket: store.bucket, Key: 'curl' };
  const { UploadId } = await store.client.send(new CreateMultipartUploadCommand(place));
  const upload = { ...place, UploadId };
  const url = await getSignedUrl(store.client, new UploadPartCommand({ ...upload, PartNumber: 1 }));
  try {
    return await timedCommand(['curl', '--silent', '--show-error', '--fail', '-T', file, url], { signal });
  } finally {
    await store.client.send(new AbortMultipartUploadCommand(upload));
  }
}
