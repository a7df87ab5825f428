import type { BackhaulClient } from '@backhaul/client';
import type { UploadRecord, UploadStatus } from '@backhaul/protocol';
import { Argument, Option } from 'commander';
import {
  clientIdOption,
  type PagingOptions,
  pagingOptions,
  parseUploadId,
  statusOption,
} from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect, type Context } from '../context.ts';
import { deliver } from '../deliver.ts';
import { followUpload } from '../progress/follow-upload.ts';
import { openView } from '../progress/open-view.ts';
import { findUploadId } from '../upload-id.ts';
import { uploadTable } from '../upload-table.ts';
import { UsageError } from '../usage-error.ts';
import { printUpload } from '../print-upload.ts';

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
    statusOption(),
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
  const { output, signal } = context;
  if (options.follow === true) {
    throw new UsageError(
      '--follow requires the id of an upload.',
      'Give its id, or use: backhaul events --follow',
    );
  }
  const { limit, cursor, all = false } = options;
  const filter = { client_id: options.clientId, status: options.status };
  if (all) {
    const found: UploadRecord[] = [];
    for await (const record of client.eachUpload({ ...filter, limit: limit ?? 500 }, { signal })) {
      found.push(record);
    }
    if (output.json) output.value({ uploads: found, next_cursor: null });
    else output.lines(uploadTable(found, context));
    return;
  }
  const page = await client.listUploads({ ...filter, limit, cursor }, { signal });
  if (output.json) output.value(page);
  else {
    output.lines(uploadTable(page.uploads, context));
    if (page.next_cursor !== null) output.remark('More results: use --all or a larger --limit.');
  }
}
