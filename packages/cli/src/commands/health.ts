import { ApiError } from '@backhaul/client';
import type { ClientStatus, HealthReport } from '@backhaul/protocol';
import { connect, defineCommand } from '../command.ts';
import { renderFields } from '../output.ts';
import { describeTokenEnd, readableBytes, readableDuration } from '../readable.ts';

export const health = defineCommand<readonly [], { readonly clientId: string }>({
  name: 'health',
  summary: "show an agent's health",
  machine: { required: true, description: "the machine's client_id" },
  examples: ['backhaul health restaurant-1'],
  async run(context, { options: { clientId } }) {
    const { output, signal, now } = context;
    const client = connect(context);
    const [report, status] = await Promise.all([
      client.runCommand(clientId, 'health_check', {}, { signal }),
      client.getStatus(clientId, { signal }).catch(withoutScope),
    ]);
    if (output.json) {
      output.value(
        status === null ? report : { ...report, token_expires_at: status.token_expires_at ?? null },
      );
      return;
    }
    const rate = report.max_rate_bytes_per_second;
    output.lines(
      renderFields([
        ['agent', report.agent_version],
        ...(status === null ? [] : [tokenRow(status, now())]),
        ['uptime', readableDuration(report.uptime_ms)],
        ['memory', readableBytes(report.rss_bytes)],
        ['uploads', `${report.active_uploads} active, at most ${report.max_uploads}`],
        ['rate limit', rate === null ? 'none' : `${readableBytes(rate)}/s`],
        ...hanging(report),
        ...report.allowed.map((path, at): [string, string] => [at === 0 ? 'may read' : '', path]),
      ]),
    );
  },
});

/** `health_check` requires the scope `trigger`, the client's status `read`: without `read` only the agent's report is shown. */
function withoutScope(error: unknown): null {
  if (error instanceof ApiError && error.code === 'forbidden') return null;
  throw error;
}

function tokenRow(status: ClientStatus, now: number): [string, string] {
  return ['token ends', describeTokenEnd(status, now)];
}

function hanging({
  hanging_file_calls: calls = 0,
  hanging_mounts: mounts = [],
}: HealthReport): [string, string][] {
  return calls === 0 ? [] : [['hanging', `${calls} file system calls on ${mounts.join(', ')}`]];
}
