import { type AuditRecord, timestampSchema } from '@backhaul/protocol';
import { InvalidArgumentError, Option } from 'commander';
import { clientIdOption, type PagingOptions, pagingOptions } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { renderTable } from '../table.ts';

interface Options extends PagingOptions {
  readonly clientId?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly since?: string;
  readonly until?: string;
}

export const audit = defineCommand<readonly [], Options>({
  name: 'audit',
  summary: 'show what operators did, newest first',
  description: 'Needs the scope audit.',
  options: [
    clientIdOption('only what was done to this machine'),
    new Option('--actor <subject>', 'only by tokens of this subject'),
    new Option('--action <name>', 'only this action, such as upload.trigger'),
    new Option('--since <time>', 'not before this time, ISO 8601').argParser(parseTime),
    new Option('--until <time>', 'before this time, ISO 8601').argParser(parseTime),
    ...pagingOptions(),
  ],
  examples: ['backhaul audit', 'backhaul audit --client-id restaurant-1 --action client.block'],
  async run(context, { options }) {
    const { output, signal } = context;
    const client = connect(context);
    const { limit, all = false, actor, action, since, until } = options;
    const filter = { client_id: options.clientId, actor, action, since, until };
    const events: AuditRecord[] = [];
    let cursor: string | undefined = options.cursor;
    for (;;) {
      const page = await client.listAudit(
        { ...filter, limit: limit ?? (all ? 500 : undefined), cursor },
        { signal },
      );
      events.push(...page.events);
      cursor = page.next_cursor ?? undefined;
      if (!all || cursor === undefined) break;
    }
    if (output.json) {
      output.value({ events, next_cursor: cursor ?? null });
      return;
    }
    output.lines(
      renderTable(events, [
        { title: 'TIME', value: (event) => event.at },
        { title: 'ACTOR', value: (event) => event.actor },
        { title: 'ACTION', value: (event) => event.action },
        { title: 'CLIENT', value: (event) => event.client_id ?? '–' },
        { title: 'UPLOAD', value: (event) => event.upload_id ?? '–' },
        { title: 'DETAIL', value: (event) => JSON.stringify(event.detail) },
      ]),
    );
    if (cursor !== undefined) output.remark('There are more: --all, or a greater --limit.');
  },
});

/** With or without milliseconds, in UTC; a day is its beginning. */
function parseTime(text: string): string {
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text;
  if (timestampSchema.safeParse(time).success) return time;
  throw new InvalidArgumentError('write it like 2026-12-01 or 2026-12-01T06:00:00Z.');
}
