import { ApiError } from '@backhaul/client';
import { type AuditOutcome, auditOutcomes, type AuditRecord, timestampSchema } from '@backhaul/protocol';
import { InvalidArgumentError, Option } from 'commander';
import { parseDurationSeconds } from '../arguments.ts';
import { connect, defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import { clientIdOption } from '../identifiers.ts';
import { renderTable } from '../output.ts';
import { type PagingOptions, pagingOptions, printList } from '../paging.ts';

interface Options extends PagingOptions {
  readonly clientId?: string;
  readonly by?: string;
  /** The name of `by` in earlier versions. */
  readonly actor?: string;
  readonly action?: string;
  readonly outcome?: AuditOutcome;
  readonly since?: string;
  readonly until?: string;
}

export const audit = defineCommand<readonly [], Options>({
  name: 'audit',
  summary: 'list actions and refused requests, newest first',
  description: 'Requires the scope audit.',
  options: [
    clientIdOption('only requests about this machine'),
    new Option('--by <subject>', 'only requests with tokens of this subject'),
    new Option('--actor <subject>').hideHelp(),
    new Option('--action <name>', 'only this action, such as upload.trigger'),
    new Option('--outcome <outcome>', 'only requests with this outcome').choices(auditOutcomes),
    new Option(
      '--since <time>',
      'start time (inclusive): ISO 8601, or a duration before now such as 24h',
    ).argParser(parseTime),
    new Option('--until <time>', 'end time (exclusive), in the same format').argParser(parseTime),
    ...pagingOptions(),
  ],
  examples: [
    'backhaul audit',
    'backhaul audit --client-id restaurant-1 --action client.block',
    'backhaul audit --outcome refused --since 24h --all',
  ],
  async run(context, { options }) {
    const client = connect(context);
    const { clientId, by, actor, action, outcome, since, until } = options;
    const filter = { client_id: clientId, actor: by ?? actor, action, outcome, since, until };
    await printList(context, options, {
      name: 'events',
      fetch: async (range) => {
        try {
          return await client.listAudit({ ...filter, ...range }, context);
        } catch (error) {
          throw ofOlderServer(error, options) ?? error;
        }
      },
      table: auditTable,
    });
  },
});

function auditTable(rows: readonly AuditRecord[]): string[] {
  return renderTable(rows, [
    { title: 'TIME', value: (event) => event.at },
    { title: 'BY', value: (event) => (event.actor === '' ? '–' : event.actor) },
    { title: 'FROM', value: (event) => event.address ?? '–' },
    { title: 'ACTION', value: (event) => event.action },
    { title: 'CLIENT', value: (event) => event.client_id ?? '–' },
    { title: 'UPLOAD', value: (event) => event.upload_id ?? '–' },
    { title: 'OUTCOME', value: describeOutcome },
    { title: 'DETAIL', value: describeDetail },
  ]);
}

/** Earlier servers record accepted requests only, without an outcome. */
function describeOutcome({
  outcome = 'accepted',
  status = null,
  error = null,
  count = 1,
}: AuditRecord): string {
  const why = error === null ? '' : ` (${status === null ? '' : `${status} `}${error})`;
  return `${outcome}${why}${count === 1 ? '' : ` ×${count}`}`;
}

/** The detail without the error, which is shown with the outcome. */
function describeDetail({ detail: { error: _error, ...detail } }: AuditRecord): string {
  return JSON.stringify(detail);
}

/** Explains the responses of servers that do not know the audit or its newer filters. */
function ofOlderServer(error: unknown, { outcome }: Options): UsageError | undefined {
  if (!(error instanceof ApiError)) return undefined;
  if (error.code === 'not_found') {
    return new UsageError('This server has no audit.', 'Update the server.', {
      cause: error,
    });
  }
  if (outcome !== undefined && error.code === 'invalid_request' && /\boutcome\b/.test(error.detail)) {
    return new UsageError(
      'This server does not know --outcome: it records accepted requests only.',
      'Leave --outcome out, or update the server.',
      { cause: error },
    );
  }
  return undefined;
}

/** Parses a duration before now, a time in UTC with or without milliseconds, or a day, which means its start. */
function parseTime(text: string): string {
  const seconds = parseDurationSeconds(text);
  if (seconds !== undefined) return new Date(Math.max(0, Date.now() - seconds * 1000)).toISOString();
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text;
  if (timestampSchema.safeParse(time).success) return time;
  throw new InvalidArgumentError('write it like 2026-12-01, 2026-12-01T06:00:00Z or 24h.');
}
