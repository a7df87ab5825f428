import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { commandVersion } from './command-version.ts';
import { PARALLEL_PARTS, PART_BYTES, type Peer } from './peer.ts';
import { timedCommand } from './timed-command.ts';

export const awsCli: Peer = {
  name: 'aws s3 cp',
  version: (signal) => commandVersion('aws', ['--version'], { signal }),
  send: async ({ file, store, directory, signal }) => {
    const config = path.join(directory, 'aws-config');
    const settings = [
      '[default]',
      's3 =',
      `  multipart_threshold = ${PART_BYTES}`,
      `  multipart_chunksize = ${PART_BYTES}`,
      `  max_concurrent_requests = ${PARALLEL_PARTS}`,
      '  addressing_style = path',
    ];
    await writeFile(config, `${settings.join('\n')}\n`);
    const target = `s3://${store.bucket}/aws-cli`;
    return await timedCommand(
      ['aws', 's3', 'cp', '--endpoint-url', store.endpoint, '--no-progress', file, target],
      {
        env: {
          AWS_CONFIG_FILE: config,
          AWS_ACCESS_KEY_ID: store.accessKeyId,
          AWS_SECRET_ACCESS_KEY: store.secretAccessKey,
          AWS_REGION: 'us-east-1',
          AWS_EC2_METADATA_DISABLED: 'true',
        },
        signal,
      },
    );
  },
};
