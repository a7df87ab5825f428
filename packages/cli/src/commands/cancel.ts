import { uploadIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';

export const cancel = defineCommand<readonly [uploadId: string]>({
  name: 'cancel',
  summary: 'stop an upload that has not ended',
  arguments: [uploadIdArgument()],
  examples: ['backhaul cancel 019ab3c2-5f00-7000-8000-000000000001'],
  async run(context, { arguments: [uploadId] }) {
    const { output, signal } = context;
    const record = await connect(context).cancelUpload(uploadId, { signal });
    if (output.json) output.value(record);
    else output.line(`${record.upload_id} is ${record.status}.`);
  },
});
