import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { installedCommands } from './installed-commands.ts';
import { type FindPeers, PARALLEL_PARTS, PART_BYTES, type PeerRun } from './peer.ts';
import { type CommandUsage, timedCommand } from './timed-command.ts';

export const AWS_CLI = 'aws s3 cp';

/** Versions 1 and 2 differ in speed, and a machine may have both. */
export const findAwsCli: FindPeers = async (signal) => {
  const installed = await installedCommands('aws', ['--version'], { signal });
  return installed.map(({ command, version }) => {
    const [, number = version] = /^aws-cli\/(\S+)/.exec(version) ?? [];
    return { name: `${AWS_CLI} (${number})`, send: (run) => send(command, run) };
  });
};

async function send(command: string, { file, store, directory, signal }: PeerRun): Promise<CommandUsage> {
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
    [command, 's3', 'cp', '--endpoint-url', store.endpoint, '--no-progress', file, target],
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
}
