// Pulls a file, shows how far it is, saves it, and compares it with its SHA-256.
//   node pull-file.ts CLIENT_ID FILE_PATH OUTPUT        (with BACKHAUL_URL and BACKHAUL_TOKEN)
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { BackhaulClient } from '@backhaul/client';

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });
const [clientId, file_path, output] = process.argv.slice(2);
if (clientId === undefined || file_path === undefined || output === undefined) {
  throw new Error('give CLIENT_ID FILE_PATH OUTPUT');
}

let record = await client.triggerDownload(clientId, { file_path }, { idempotencyKey: randomUUID() });
for await (record of client.followUpload(record.upload_id)) {
  console.log(record.status, record.bytes_uploaded, 'of', record.size ?? '?', 'bytes');
}
if (record.status !== 'completed') throw new Error(`${record.status}: ${record.error} ${record.message}`);
await save(record.upload_id, output, record.sha256);
console.log('saved', output);

/** Under a name of its own until it is whole. @param sha256 Null if the agent was told to leave it out. */
async function save(uploadId: string, path: string, sha256: string | null): Promise<void> {
  const answer = await fetch(await client.contentUrl(uploadId));
  if (!answer.ok || answer.body === null) throw new Error(`the store answered ${answer.status}`);
  const hash = createHash('sha256');
  const hashed = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
  const partial = `${path}.${uploadId}.partial`;
  try {
    await pipeline(answer.body, hashed, createWriteStream(partial));
    if (sha256 !== null && hash.digest('hex') !== sha256)
      throw new Error('these are not the bytes of the file');
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}
