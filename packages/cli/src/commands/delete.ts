import { Option } from 'commander';
import { uploadIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { findUploadId } from '../upload-id.ts';

interface Options {
  readonly object?: boolean;
}

export const deleteUpload = defineCommand<readonly [uploadId: string], Options>({
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
