// Reports for every machine whether it is connected, and how its last upload ended, as one line of JSON each.
//   node fleet-report.ts [LABEL=VALUE]        (with BACKHAUL_URL and BACKHAUL_TOKEN)
import { BackhaulClient } from '@backhaul/client';

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });

for await (const { client_id, labels } of client.eachClient({ label: process.argv[2], limit: 500 })) {
  const { connected, last_seen_at, last_upload } = await client.getStatus(client_id);
  console.log(
    JSON.stringify({
      client_id,
      labels,
      connected,
      last_seen_at,
      last_pull: last_upload === null ? null : `${last_upload.file_path}: ${last_upload.status}`,
      last_error: last_upload?.error ?? null,
    }),
  );
}
