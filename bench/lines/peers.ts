import { mkdir } from 'node:fs/promises';
import { installedCommands } from '../throughput/installed-commands.ts';
import { timedCommand } from '../throughput/timed-command.ts';
import type { S3Target } from '../../test/harness/object-store.ts';
import { Stage } from '../../test/harness/stage.ts';
import { apply, type Line } from './line.ts';
import { restingFile } from './send-over.ts';

/** Another tool that sends files to S3, with its defaults. */
export interface Peer {
  readonly name: string;
  readonly command: (file: string, store: S3Target, endpoint: string) => readonly [string, ...string[]];
  readonly env: (store: S3Target, endpoint: string) => Readonly<Record<string, string>>;
}

export interface PeerOutcome {
  /** Null if it gave up or was stopped. */
  readonly tookMs: number | null;
  /** Bytes that the store received beyond the file's size. */
  readonly resentBytes: number;
}

/** Returns the installed peers. */
export async function findPeers({ signal }: { signal: AbortSignal }): Promise<Peer[]> {
  const [aws] = await installedCommands('aws', ['--version'], { signal });
  const [rclone] = await installedCommands('rclone', ['version'], { signal });
  return [
    ...(aws === undefined ? [] : [awsCli(aws.version)]),
    ...(rclone === undefined ? [] : [rcloneOf(rclone.version)]),
  ];
}

function awsCli(version: string): Peer {
  const [, number = version] = /^aws-cli\/(\S+)/.exec(version) ?? [];
  return {
    name: `aws s3 cp ${number}`,
    command: (file, { bucket }, endpoint) => [
      ...(['aws', 's3', 'cp', '--endpoint-url', endpoint, '--no-progress'] as const),
      ...[file, `s3://${bucket}/peer`],
    ],
    env: ({ accessKeyId, secretAccessKey }) => ({
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: 'us-east-1',
      AWS_EC2_METADATA_DISABLED: 'true',
    }),
  };
}

function rcloneOf(version: string): Peer {
  return {
    name: version.replace(/^rclone v/, 'rclone ').replace(/-.*$/, ''),
    command: (file, { bucket }) => ['rclone', 'copyto', file, `line:${bucket}/peer`],
    env: ({ accessKeyId, secretAccessKey }, endpoint) => ({
      RCLONE_CONFIG: '/nonexistent/rclone.conf',
      RCLONE_CONFIG_LINE_TYPE: 's3',
      RCLONE_CONFIG_LINE_PROVIDER: 'Other',
      RCLONE_CONFIG_LINE_ENDPOINT: endpoint,
      RCLONE_CONFIG_LINE_ACCESS_KEY_ID: accessKeyId,
      RCLONE_CONFIG_LINE_SECRET_ACCESS_KEY: secretAccessKey,
      RCLONE_CONFIG_LINE_REGION: 'us-east-1',
    }),
  };
}

/** Sends a file over the link with the peer's defaults, and stops it after `deadlineMs`. */
export async function sendByPeer(
  line: Line,
  peer: Peer,
  { deadlineMs }: { deadlineMs: number },
): Promise<PeerOutcome> {
  await using stage = await Stage.start({ storeNetworkFaults: true, compiled: true });
  const file = stage.directory.join('file.bin');
  await restingFile(file, line.sizeBytes);
  const home = stage.directory.join('home');
  await mkdir(home);
  using _ = apply(line, stage.storeNetwork);
  const { endpoint } = stage.storeNetwork;
  const tookMs = await timedCommand(peer.command(file, stage.s3, endpoint), {
    env: { HOME: home, ...peer.env(stage.s3, endpoint) },
    signal: AbortSignal.timeout(Math.round(deadlineMs)),
  }).then(
    ({ seconds }) => seconds * 1000,
    (error: unknown) => {
      process.stderr.write(
        `${line.name}: ${peer.name}: ${error instanceof Error ? error.message : String(error)}\n`,
      );
      return null;
    },
  );
  // Requests in progress are logged once their connection has ended.
  stage.storeNetwork.reset();
  const received = (await stage.storeRequests())
    .filter(
      ({ operation, key }) => key === 'peer' && (operation === 'UploadPart' || operation === 'PutObject'),
    )
    .reduce((sum, { bytes_in: bytes }) => sum + bytes, 0);
  return { tookMs, resentBytes: Math.max(0, received - line.sizeBytes) };
}
