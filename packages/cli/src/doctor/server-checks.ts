import { ApiError, type BackhaulClient, ConnectionError, UnexpectedAnswerError } from '@backhaul/client';
import type { Diagnosis, Finding } from '@backhaul/protocol';
import { failed, ok } from './client-checks.ts';

/** Reports the server's checks of its own dependencies. */
export async function checkReadiness(client: BackhaulClient, signal: AbortSignal): Promise<Finding[]> {
  try {
    const { ready, checks } = await client.readiness({ signal });
    const bad = Object.entries(checks).filter(([, check]) => !check.ok);
    if (ready) return [ok('ready', Object.keys(checks).join(', ') || 'the server is ready')];
    if (bad.length === 0) return [failed('ready', 'The server is not ready.', 'See the server log.')];
    return bad.map(([name, { detail }]) =>
      failed(`ready: ${name}`, detail ?? 'not ready', 'See the server log.'),
    );
  } catch (error) {
    return [failed('ready', explain(error), null)];
  }
}

/** Fetches the server's own diagnosis, which requires the scope `admin`. */
export async function fetchDiagnosis(
  client: BackhaulClient,
  signal: AbortSignal,
): Promise<{ readonly diagnosis: Diagnosis | null; readonly findings: Finding[] }> {
  try {
    return { diagnosis: await client.diagnosis({ signal }), findings: [] };
  } catch (error) {
    if (error instanceof ApiError && error.code === 'forbidden') {
      const detail = "The server's own diagnosis requires the scope admin.";
      const fix = 'backhaul token operator --scope read,content,trigger,admin';
      return { diagnosis: null, findings: [{ name: 'server', level: 'info', detail, fix }] };
    }
    return { diagnosis: null, findings: [failed('server', explain(error), null)] };
  }
}

/** Expected errors become a finding; any other error ends the diagnosis. */
function explain(error: unknown): string {
  if (error instanceof ApiError) return error.detail;
  if (error instanceof ConnectionError || error instanceof UnexpectedAnswerError) return `${error.message}.`;
  throw error;
}
