import { BackhaulError, hasEnded } from '@backhaul/protocol';
import { Option } from 'commander';
import { overwriteOption } from '../arguments.ts';
import { connect, defineCommand } from '../command.ts';
import { deliver } from '../content/deliver.ts';
import { OutputPath } from '../content/destination.ts';
import { UsageError } from '../errors.ts';
import { findUploadId, uploadIdArgument } from '../identifiers.ts';
import { openView } from '../progress/views.ts';

interface Options {
  readonly output?: string;
  readonly overwrite?: boolean;
}

export const content = defineCommand<readonly [uploadId: string], Options>({
  name: 'content',
  summary: 'download the file of a completed upload',
  arguments: [uploadIdArgument()],
  options: [
    new Option(
      '--output <path>',
      'required: a file, a directory (the file keeps its name), or - for standard output',
    ),
    overwriteOption(),
  ],
  examples: [
    'backhaul content 019ab3c2-5f00-7000-8000-000000000001 --output report.bin',
    'backhaul content 019ab3c2-5f00-7000-8000-000000000001 --output - | sha256sum',
  ],
  async run(context, { arguments: [idOrPrefix], options }) {
    const { output, signal } = context;
    if (options.output === undefined) {
      throw new UsageError(
        'content requires --output: it has no default path.',
        `Write: backhaul content ${idOrPrefix} --output FILE (or --output DIR/, or --output - for standard output)`,
      );
    }
    const target = await OutputPath.check(options.output, {
      overwrite: options.overwrite,
      json: output.json,
    });
    const client = connect(context);
    const uploadId = await findUploadId(client, idOrPrefix, signal);
    const record = await client.getUpload(uploadId, { signal });
    if (!hasEnded(record)) throw new BackhaulError('upload_not_completed');
    if (record.status === 'completed') await target.resolve(record.file_path);
    const view = openView(context, target.isStdout);
    try {
      if (output.json) view.show(record);
      await deliver(context, record, { client, view, target });
    } finally {
      view.close();
    }
  },
});
