import { BackhaulClient, platformFetch } from '@backhaul/client';

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });

// Without file_path, the file of the agent's --file.
const accepted = await client.triggerDownload('restaurant-1', { reason: 'monthly report' });
for await (const record of client.followUpload(accepted.upload_id)) {
  console.log(record.status, record.bytes_uploaded);
}
const url = await client.contentUrl(accepted.upload_id); // presigned: a secret until it expires
const signal = AbortSignal.timeout(60_000);
const { status, body } = await platformFetch(new URL(url), { redirect: 'manual', signal });
console.log('the store responds', status);
await body?.cancel();
