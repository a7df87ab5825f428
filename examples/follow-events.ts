// Prints a line whenever an upload of any machine starts or ends, across lost connections, until Ctrl-C.
//   node follow-events.ts        (with BACKHAUL_URL and BACKHAUL_TOKEN)
import { BackhaulClient } from '@backhaul/client';

/** Number of uploads whose status is remembered. */
const REMEMBERED = 10_000;

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

const statusOf = new Map<string, string>();
try {
  const records = client.followEvents({
    signal: stop.signal,
    onGap: ({ problem, delayMs }) => console.error(`lost (${problem?.message}); retrying in ${delayMs} ms`),
  });
  for await (const { upload_id, client_id, file_path, status, error } of records) {
    // Progress also creates records, and some are repeated after a lost connection.
    if (statusOf.get(upload_id) === status) continue;
    statusOf.set(upload_id, status);
    const [oldest] = statusOf.keys();
    if (oldest !== undefined && statusOf.size > REMEMBERED) statusOf.delete(oldest);
    console.log(upload_id, client_id, file_path, status, error ?? '');
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
