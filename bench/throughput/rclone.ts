import { installedCommands } from './installed-commands.ts';
import { type FindPeers, PARALLEL_PARTS, PART_BYTES, type PeerRun } from './peer.ts';
import { type CommandUsage, timedCommand } from './timed-command.ts';

export const findRclone: FindPeers = async (signal) => {
  const [installed] = await installedCommands('rclone', ['version'], { signal });
  return installed === undefined ? [] : [{ name: 'rclone', send }];
};

function send({ file, store, signal }: PeerRun): Promise<CommandUsage> {
  return timedCommand(
    [
      'rclone',
      'copyto',
      // Sends the file even if an earlier round has stored it.
      '--ignore-times',
      ...['--s3-chunk-size', `${PART_BYTES}B`, '--s3-upload-cutoff', `${PART_BYTES}B`],
      ...['--s3-upload-concurrency', String(PARALLEL_PARTS), '--s3-no-check-bucket'],
      file,
      `bench:${store.bucket}/rclone`,
    ],
    {
      env: {
        RCLONE_CONFIG: '/nonexistent/rclone.conf',
        RCLONE_CONFIG_BENCH_TYPE: 's3',
        RCLONE_CONFIG_BENCH_PROVIDER: 'Other',
        RCLONE_CONFIG_BENCH_ENDPOINT: store.endpoint,
        RCLONE_CONFIG_BENCH_ACCESS_KEY_ID: store.accessKeyId,
        RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY: store.secretAccessKey,
        RCLONE_CONFIG_BENCH_REGION: 'us-east-1',
      },
      signal,
    },
  );
}
