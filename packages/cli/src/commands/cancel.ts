import { printable, type UploadRecord } from '@backhaul/protocol';
import { uploadIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { findUploadId } from '../upload-id.ts';

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
