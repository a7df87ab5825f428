import { clientIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { readableBytes, readableDuration } from '../readable.ts';
import { renderFields } from '../table.ts';

export const health = defineCommand<readonly [clientId: string]>({
  name: 'health',
  summary: 'ask a connected agent how it is',
  arguments: [clientIdArgument()],
  examples: ['backhaul health restaurant-1'],
  async run(context, { arguments: [clientId] }) {
    const { output, signal } = context;
    const report = await connect(context).runCommand(clientId, 'health_check', {}, { signal });
    if (output.json) {
      output.value(report);
      return;
    }
    const rate = report.max_rate_bytes_per_second;
    output.lines(
      renderFields([
        ['agent', report.agent_version],
        ['up for', readableDuration(report.uptime_ms)],
        ['memory', readableBytes(report.rss_bytes)],
        ['uploads', `${report.active_uploads} of at most ${report.max_uploads}`],
        ['rate limit', rate === null ? 'none' : `${readableBytes(rate)}/s`],
        ...report.allowed.map((path, at): [string, string] => [at === 0 ? 'may read' : '', path]),
      ]),
    );
  },
});
