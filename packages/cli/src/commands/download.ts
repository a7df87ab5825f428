import { randomUUID } from 'node:crypto';
import { OutputError } from '@backhaul/client/content';
import {
  type ChangePolicy,
  changePolicySchema,
  type OfflinePolicy,
  offlinePolicySchema,
  printable,
  type TriggerRequest,
  type UploadRecord,
} from '@backhaul/protocol';
import { Option } from 'commander';
import {
  limitsOf,
  maxRateOption,
  parallelPartsOption,
  overwriteOption,
  parseDuration,
  parseExpiresIn,
  parseFilePath,
  parseIdempotencyKey,
  parseReason,
} from '../arguments.ts';
import { connect, defineCommand } from '../command.ts';
import { deliver } from '../content/deliver.ts';
import { OutputPath } from '../content/destination.ts';
import { UndeliveredError, UsageError } from '../errors.ts';
import { followUpload } from '../progress/follow-upload.ts';
import { openView } from '../progress/views.ts';

interface Options {
  readonly clientId: string;
  readonly file?: string;
  readonly output?: string;
  readonly overwrite?: boolean;
  readonly wait: boolean;
  readonly reason?: string;
  readonly idempotencyKey?: string;
  readonly timeout?: number;
  readonly expiresIn?: number;
  readonly offline?: OfflinePolicy;
  readonly onChange?: ChangePolicy;
  readonly force?: boolean;
  readonly parallelParts?: number;
  readonly maxRate?: number;
}

export const download = defineCommand<readonly [], Options>({
  name: 'download',
  summary: 'pull a file from a machine and show progress',
  description:
    'Starts an upload of the file from the machine to the object store and shows its progress until it has ended. ' +
    'With --output, downloads the finished object and verifies it. Ctrl-C ends only this command: the upload ' +
    'continues on the server. While the upload is unfinished, the same command follows it instead of starting ' +
    'another. Once it has completed, backhaul content ID --output PATH resumes an interrupted download; repeating ' +
    'this command starts a new upload.',
  machine: { required: true, description: "the machine's client_id" },
  options: [
    new Option('--file <path>', "path on that machine (default: the agent's own --file)").argParser(
      parseFilePath,
    ),
    new Option(
      '--output <path>',
      'where to save the file: a new file, a directory (the file keeps its name), or - for standard output',
    ),
    overwriteOption(),
    new Option('--no-wait', 'return as soon as the server has accepted the request').conflicts([
      'output',
      'timeout',
    ]),
    new Option('--reason <text>', 'reason, recorded in the audit log').argParser(parseReason),
    new Option(
      '--idempotency-key <key>',
      'idempotency key: repeating the request with it does not start a second upload',
    ).argParser(parseIdempotencyKey),
    new Option(
      '--timeout <duration>',
      'stop following the upload after this time, e.g. 10m; the upload continues',
    ).argParser(parseDuration),
    new Option(
      '--expires-in <duration>',
      'deadline of the upload, including the wait for its agent: 90s, 15m, 12h, 7d (default: 24h)',
    ).argParser(parseExpiresIn),
    new Option(
      '--offline <policy>',
      'if the agent is not connected: queue the upload (default), or fail at once with exit code 5',
    ).choices(offlinePolicySchema.options),
    new Option(
      '--on-change <policy>',
      'if the file changes during the upload: fail (default), restart with the new version, or upload only the bytes that existed at the start (prefix, for files that are only appended to)',
    ).choices(changePolicySchema.options),
    parallelPartsOption(),
    maxRateOption(),
    new Option(
      '--force',
      'start a new upload even if an unfinished one of the same file has the same --on-change, --max-rate and --parallel-parts',
    ),
  ],
  examples: [
    'backhaul download restaurant-1',
    'backhaul download --client-id restaurant-1 --file /data/report.bin --output report.bin',
    'backhaul download --client-id restaurant-1 --file /data/log.gz --output - | gunzip | less',
    'backhaul download --client-id restaurant-1 --json | tail -1 | jq -r .sha256',
    'backhaul download --client-id restaurant-1 --offline fail --expires-in 15m',
    'backhaul download --client-id restaurant-1 --no-wait --expires-in 7d',
    'backhaul download --client-id restaurant-1 --file /var/log/app.log --on-change prefix --force',
  ],
  async run(context, { options }) {
    const { output, signal } = context;
    if (options.overwrite === true && options.output === undefined) {
      throw new UsageError('--overwrite requires --output PATH: without it nothing is saved.');
    }
    const target =
      options.output === undefined
        ? undefined
        : await OutputPath.check(options.output, {
            filePath: options.file,
            overwrite: options.overwrite,
            json: output.json,
          });
    const client = connect(context);
    const limits = limitsOf(options);
    const request: TriggerRequest = {
      ...(options.file !== undefined && { file_path: options.file }),
      ...(options.reason !== undefined && { reason: options.reason }),
      ...(options.expiresIn !== undefined && { expires_in: options.expiresIn }),
      ...(options.offline !== undefined && { offline: options.offline }),
      ...(options.onChange !== undefined && { on_change: options.onChange }),
      ...(options.force !== undefined && { force: options.force }),
      ...(limits !== null && { limits }),
    };
    const accepted = await client.triggerDownload(options.clientId, request, {
      idempotencyKey: options.idempotencyKey ?? randomUUID(),
      signal,
    });
    if (!options.wait) {
      if (output.json) output.value(accepted);
      else {
        output.line(`Accepted: ${accepted.upload_id} is ${accepted.status}.`);
        if (accepted.stalled_reason !== null) output.line(printable(accepted.stalled_reason));
        output.line(`Follow it with: backhaul uploads ${accepted.upload_id} --follow`);
      }
      return;
    }
    await assertFree(target, accepted);
    const view = openView(context, target?.isStdout === true);
    try {
      const timeoutMs = options.timeout === undefined ? undefined : options.timeout * 1000;
      const ended = await followUpload(context, accepted, { client, view, timeoutMs }).catch(
        (error: unknown) => {
          throw error instanceof OutputError ? new UndeliveredError(accepted, error) : error;
        },
      );
      await deliver(context, ended, { client, view, target });
    } finally {
      view.close();
    }
  },
});

/** Without --file the file name is known only now: it comes from the agent's own --file. */
async function assertFree(target: OutputPath | undefined, accepted: UploadRecord): Promise<void> {
  try {
    await target?.resolve(accepted.file_path);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(
      `${error.message} The upload continues on the server.`,
      `Once it has completed, get the file with: backhaul content ${accepted.upload_id} --output FILE`,
      { cause: error },
    );
  }
}
