import type { BackhaulClient } from '@backhaul/client';
import { printable, type UploadRecord, type UploadStatus, uploadStatuses } from '@backhaul/protocol';
import { Argument, Option } from 'commander';
import { connect, type Context, defineCommand } from '../command.ts';
import { deliver } from '../content/deliver.ts';
import { UsageError } from '../errors.ts';
import { clientIdOption, findUploadId, parseUploadId, uploadIdArgument } from '../identifiers.ts';
import { type PagingOptions, pagingOptions, printList } from '../paging.ts';
import { printUpload, uploadTable } from '../print-upload.ts';
import { followUpload } from '../progress/follow-upload.ts';
import { openView } from '../progress/views.ts';

interface Options extends PagingOptions {
  readonly clientId?: string;
  readonly status?: UploadStatus;
  readonly follow?: boolean;
}

export const uploads = defineCommand<readonly [uploadId: string | undefined], Options>({
  name: 'uploads',
  summary: 'list uploads, newest first, or show one upload',
  arguments: [
    new Argument('[id]', 'show only this upload; a unique prefix of its id is enough').argParser(
      parseUploadId,
    ),
  ],
  options: [
    clientIdOption('only uploads of this machine'),
    new Option('--status <status>', 'only uploads with this status').choices(uploadStatuses),
    ...pagingOptions(),
    new Option('--follow', 'with an id: show progress until the upload has ended'),
  ],
  examples: [
    'backhaul uploads',
    'backhaul uploads --client-id restaurant-1 --status failed --limit 10',
    'backhaul uploads 019ab3c2-5f00-7000-8000-000000000001 --follow',
    "backhaul uploads --all --json | jq -r '.uploads[].key'",
  ],
  async run(context, { arguments: [uploadId], options }) {
    const client = connect(context);
    if (uploadId === undefined) await list(context, client, options);
    else await showOne(context, client, { idOrPrefix: uploadId, options });
  },
});

async function showOne(
  context: Context,
  client: BackhaulClient,
  { idOrPrefix, options }: { readonly idOrPrefix: string; readonly options: Options },
): Promise<void> {
  const { follow = false, ...filters } = options;
  const filter = (['clientId', 'status', 'limit', 'cursor', 'all'] as const).find(
    (name) => filters[name] !== undefined,
  );
  if (filter !== undefined) {
    throw new UsageError(
      'Filters and paging apply to the list; an id selects one upload.',
      'Leave out the id, or the filters and paging.',
    );
  }
  const uploadId = await findUploadId(client, idOrPrefix, context.signal);
  const record = await client.getUpload(uploadId, { signal: context.signal });
  if (!follow) {
    printUpload(context, record);
    return;
  }
  const view = openView(context, false);
  try {
    const ended = await followUpload(context, record, { client, view });
    await deliver(context, ended, { client, view, target: undefined });
  } finally {
    view.close();
  }
}

async function list(context: Context, client: BackhaulClient, options: Options): Promise<void> {
  if (options.follow === true) {
    throw new UsageError(
      '--follow requires the id of an upload.',
      'Give its id, or use: backhaul events --follow',
    );
  }
  const filter = { client_id: options.clientId, status: options.status };
  await printList(context, options, {
    name: 'uploads',
    fetch: async (range) => await client.listUploads({ ...filter, ...range }, context),
    table: (rows) => uploadTable(rows, context),
  });
}

export const cancel = defineCommand<readonly [uploadId: string]>({
  name: 'cancel',
  summary: 'cancel an upload that has not ended',
  arguments: [uploadIdArgument()],
  examples: ['backhaul cancel 019ab3c2-5f00-7000-8000-000000000001', 'backhaul cancel 019ab3c2-5f'],
  async run(context, { arguments: [idOrPrefix] }) {
    const { output, signal } = context;
    const client = connect(context);
    const record = await client.cancelUpload(await findUploadId(client, idOrPrefix, signal), { signal });
    if (output.json) output.value(record);
    else if (record.status === 'completing') output.line(pending(record));
    else output.line(`${record.upload_id} is ${record.status}.`);
  },
});

/** All parts are stored, and the object store has not yet confirmed whether the object is complete. */
function pending({ upload_id: id, stalled_reason: reason }: UploadRecord): string {
  return [
    `${id} is completing; the cancellation is recorded.`,
    ...(reason === null ? [] : [`  ${printable(reason)}`]),
    '  It ends as cancelled if the object store reports that the object is not complete, otherwise as completed.',
    `  → to wait until it has ended: backhaul uploads ${id} --follow`,
  ].join('\n');
}

export const retry = defineCommand<readonly [uploadId: string]>({
  name: 'retry',
  summary: 'restart a failed, cancelled or expired upload',
  arguments: [uploadIdArgument()],
  examples: ['backhaul retry 019ab3c2-5f00-7000-8000-000000000001'],
  async run(context, { arguments: [idOrPrefix] }) {
    const { output, signal } = context;
    const client = connect(context);
    const record = await client.retryUpload(await findUploadId(client, idOrPrefix, signal), { signal });
    if (output.json) output.value(record);
    else {
      output.line(`${record.upload_id} is ${record.status} (attempt ${record.attempt}).`);
      output.line(`Follow it with: backhaul uploads ${record.upload_id} --follow`);
    }
  },
});

interface DeleteOptions {
  readonly object?: boolean;
}

export const deleteUpload = defineCommand<readonly [uploadId: string], DeleteOptions>({
  name: 'delete',
  summary: 'delete the record of an upload that has ended',
  arguments: [uploadIdArgument()],
  options: [new Option('--object', 'also delete its object from the bucket')],
  examples: [
    'backhaul delete 019ab3c2-5f00-7000-8000-000000000001',
    'backhaul delete 019ab3c2-5f00-7000-8000-000000000001 --object',
  ],
  async run(context, { arguments: [idOrPrefix], options: { object = false } }) {
    const { output, signal } = context;
    const client = connect(context);
    const uploadId = await findUploadId(client, idOrPrefix, signal);
    await client.deleteUpload(uploadId, { object, signal });
    if (output.json) output.value({ upload_id: uploadId, deleted: true, object_deleted: object });
    else output.line(object ? `Deleted ${uploadId} and its object.` : `Deleted ${uploadId}.`);
  },
});
