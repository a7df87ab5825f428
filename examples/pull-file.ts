// Pulls a file with progress output, saves it, and compares it with its SHA-256.
//   node pull-file.ts CLIENT_ID FILE_PATH OUTPUT        (with BACKHAUL_URL and BACKHAUL_TOKEN)
import { randomUUID } from 'node:crypto';
import { BackhaulClient } from '@backhaul/client';
import { saveContent } from '@backhaul/client/content';

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });
const [clientId, file_path, output] = process.argv.slice(2);
if (clientId === undefined || file_path === undefined || output === undefined) {
  throw new Error('usage: pull-file.ts CLIENT_ID FILE_PATH OUTPUT');
}

let record = await client.triggerDownload(clientId, { file_path }, { idempotencyKey: randomUUID() });
for await (record of client.followUpload(record.upload_id)) {
  console.log(record.status, record.bytes_uploaded, 'of', record.size ?? '?', 'bytes');
}
if (record.status !== 'completed') throw new Error(`${record.status}: ${record.error} ${record.message}`);
// The file gets its name once it is complete and compared with its SHA-256. An interrupted download is resumed.
const { comparedBy } = await saveContent(client, record, output, { signal: AbortSignal.timeout(3_600_000) });
console.log('saved', output, `compared by ${comparedBy}`);
