import type { ClientBlock, ClientStatus } from '@backhaul/protocol';
import { connect, defineCommand } from '../command.ts';
import { renderFields } from '../output.ts';
import { uploadTable } from '../print-upload.ts';
import {
  describeLabels,
  describeLimits,
  describePlatform,
  describeTokenEnd,
  readableAge,
  readableUntil,
} from '../readable.ts';

export const status = defineCommand<readonly [], { readonly clientId: string }>({
  name: 'status',
  summary: 'show the connection and the uploads of a machine',
  machine: { required: true, description: "the machine's client_id" },
  examples: ['backhaul status restaurant-1', 'backhaul status restaurant-1 --json | jq .connected'],
  async run(context, { options: { clientId } }) {
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

function duplicateRow({ duplicate_connections: turns = 0 }: ClientStatus): [string, string][] {
  if (turns === 0) return [];
  return [['shared token', `several machines seem to use it: the connection was taken over ${turns} times`]];
}

function blockRow({ blocked_at, blocked_by, reason }: ClientBlock, now: number): [string, string] {
  const why = reason === null ? '' : `: ${reason}`;
  return ['blocked', `${readableAge(blocked_at, now)} by ${blocked_by}${why}`];
}

/** Deadline of the uploads that wait for a disconnected machine. */
function waitOf({ connected, active_uploads: uploads }: ClientStatus, now: number): [string, string][] {
  const ends = uploads.filter(({ status }) => status === 'queued').map(({ expires_at: end }) => end);
  const [first] = ends.sort();
  if (connected || first === undefined) return [];
  return [
    ['waits until', `${first} (${readableUntil(first, now)})${ends.length > 1 ? ', the earliest' : ''}`],
  ];
}

function fieldsOf(client: ClientStatus, now: number): [string, string][] {
  const state = client.connected
    ? `connected since ${readableAge(client.connected_since, now)}`
    : `away, last seen ${readableAge(client.last_seen_at, now)}`;
  return [
    ['client', client.client_id],
    ['state', state],
    ...(client.blocked == null ? [] : [blockRow(client.blocked, now)]),
    ['address', client.remote_address ?? '–'],
    ...duplicateRow(client),
    ['token ends', describeTokenEnd(client, now)],
    ['agent', [client.agent_version ?? '–', describePlatform(client.platform)].join('  ')],
    ['default file', client.default_file_path ?? '–'],
    ['labels', describeLabels(client.labels)],
    ...limitsRow(client),
    ['active uploads', activeUploads(client)],
    ...waitOf(client, now),
  ];
}

function limitsRow({ limits }: ClientStatus): [string, string][] {
  const described = describeLimits(limits);
  return described === null ? [] : [['limits', `${described}, for each upload`]];
}

function activeUploads({
  active_uploads: listed,
  active_upload_count: count,
  client_id: id,
}: ClientStatus): string {
  if (count === undefined || count <= listed.length) return String(listed.length);
  return `${count}, ${listed.length} of them listed below; list all: backhaul uploads --client-id ${id} --all`;
}
