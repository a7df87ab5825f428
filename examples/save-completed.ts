import { BackhaulClient } from '@backhaul/client';
import { saveContent } from '@backhaul/client/content';

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });
for await (const record of client.eachUpload({ status: 'completed' })) {
  const signal = AbortSignal.timeout(3_600_000);
  await saveContent(client, record, `${record.upload_id}-${record.file_name}`, { signal });
}
