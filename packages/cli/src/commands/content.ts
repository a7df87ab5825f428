import { BackhaulError, isTerminal } from '@backhaul/protocol';
import { Option } from 'commander';
import { uploadIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { OutputPath } from '../content/destination.ts';
import { connect } from '../context.ts';
import { deliver } from '../deliver.ts';
import { openView } from '../progress/open-view.ts';
import { assertUndividedOutput } from '../undivided-output.ts';

interface Options {
  readonly output: string;
}

export const content = defineCommand<readonly [uploadId: string], Options>({
  name: 'content',
  summary: 'fetch the file of a completed upload',
  arguments: [uploadIdArgument()],
  options: [
    new Option(
      '--output <path>',
      'a file, a directory (the file keeps its name), or - for standard output',
    ).default('.', 'the working directory'),
  ],
  examples: [
    'backhaul content 019ab3c2-5f00-7000-8000-000000000001',
    'backhaul content 019ab3c2-5f00-7000-8000-000000000001 --output - | sha256sum',
  ],
  async run(context, { arguments: [uploadId], options }) {
    const { output, signal } = context;
    assertUndividedOutput(output, options.output);
    const target = await OutputPath.check(options.output);
    const client = connect(context);
    const record = await client.getUpload(uploadId, { signal });
    if (!isTerminal(record.status)) throw new BackhaulError('upload_not_completed');
    const view = openView(context, target.isStdout);
    try {
      if (output.json) view.show(record);
      await deliver(context, record, { client, view, target });
    } finally {
      view.close();
    }
  },
});
