import { uploadIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { findUploadId } from '../upload-id.ts';

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
