import type { ClientStatus } from '@backhaul/protocol';
import { clientIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { describeLabels, describePlatform } from '../describe-client.ts';
import { readableAge } from '../readable.ts';
import { renderFields } from '../table.ts';
import { uploadTable } from '../upload-table.ts';

export const status = defineCommand<readonly [clientId: string]>({
  name: 'status',
  summary: 'one machine: its connection and its uploads',
  arguments: [clientIdArgument()],
  examples: ['backhaul status restaurant-1', 'backhaul status restaurant-1 --json | jq .connected'],
  async run(context, { arguments: [clientId] }) {
    const { output, signal, now } = context;
    const found = await connect(context).getStatus(clientId, { signal });
    if (output.json) {
      output.value(found);
      return;
    }
    output.lines(renderFields(fieldsOf(found, now())));
    const uploads = [...found.active_uploads];
    const { last_upload: last } = found;
    if (last !== null && !uploads.some(({ upload_id }) => upload_id === last.upload_id)) uploads.push(last);
    if (uploads.length > 0) {
      output.line('');
      output.lines(uploadTable(uploads, context));
    }
  },
});

function fieldsOf(client: ClientStatus, now: number): [string, string][] {
  const state = client.connected
    ? `connected since ${readableAge(client.connected_since, now)}`
    : `away, last seen ${readableAge(client.last_seen_at, now)}`;
  return [
    ['client', client.client_id],
    ['state', state],
    ['agent', [client.agent_version ?? '–', describePlatform(client.platform)].join('  ')],
    ['default file', client.default_file_path ?? '–'],
    ['labels', describeLabels(client.labels)],
    ['active uploads', String(client.active_uploads.length)],
  ];
}
