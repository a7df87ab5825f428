// Repeats a request until the server has received it, but pulls the file only once: every try has the same key. `force`
// makes it a separate upload, even while another one of the same file runs.
// Exits with 0 if the upload completed, 1 if it did not, 2 if repeating cannot help.
//   node pull-once.ts CLIENT_ID FILE_PATH KEY        (with BACKHAUL_URL and BACKHAUL_TOKEN)
import { ApiError, BackhaulClient, backoffMs, ConnectionError, pause } from '@backhaul/client';

const TRIES = 8;

const { BACKHAUL_URL = 'http://localhost:8080', BACKHAUL_TOKEN = '' } = process.env;
const client = new BackhaulClient({ url: BACKHAUL_URL, token: BACKHAUL_TOKEN });
const [clientId, file_path, idempotencyKey] = process.argv.slice(2);
if (clientId === undefined || file_path === undefined || idempotencyKey === undefined) {
  throw new Error('usage: pull-once.ts CLIENT_ID FILE_PATH KEY');
}

try {
  const { upload_id } = await untilReceived(
    async () => await client.triggerDownload(clientId, { file_path, force: true }, { idempotencyKey }),
  );
  let status: string | undefined;
  // followUpload reconnects by itself.
  for await (const record of client.followUpload(upload_id)) status = record.status;
  console.log(upload_id, status);
  process.exitCode = status === 'completed' ? 0 : 1;
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  // A code of the error table and a sentence from the server: unknown machine, missing scope, key used for another request…
  console.error(error.code, error.detail);
  process.exitCode = 2;
}

async function untilReceived<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send();
    } catch (error) {
      const isTemporary = error instanceof ConnectionError || (error instanceof ApiError && error.retryable);
      if (!isTemporary || attempt === TRIES) throw error;
      const retryAfterMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
      const delayMs = Math.max(retryAfterMs, backoffMs(attempt, { baseMs: 200, maxMs: 10_000 }));
      console.error(`${error.message}; retrying in ${Math.round(delayMs)} ms`);
      await pause(delayMs);
    }
  }
}
