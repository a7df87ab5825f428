import { randomUUID } from 'node:crypto';
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
} from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { OutputPath } from '../content/destination.ts';
import { connect } from '../context.ts';
import { OutputError } from '@backhaul/client/content';
import { openView } from '../progress/open-view.ts';
import { followPull } from '../progress/follow-pull.ts';
import { deliver } from '../deliver.ts';
import { UndeliveredError } from '../undelivered-error.ts';
import { UsageError } from '../usage-error.ts';
import { assertUndividedOutput } from '../undivided-output.ts';

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
  summary: 'pull a file from a machine, and watch it come',
  description:
    'Asks the server to pull a file from the machine, shows its progress until it has ended, and with --output ' +
    'fetches the finished object and checks it. Ctrl-C stops the watching; the pull goes on. The same command ' +
    'while the pull has not ended watches that one. Once it has completed, a fetch that was cut off goes on by ' +
    'backhaul content ID --output PATH; the same command again is a new pull.',
  machine: { required: true, description: "the machine's client_id" },
  options: [
    new Option('--file <path>', "path on that machine (default: the agent's own --file)").argParser(
      parseFilePath,
    ),
    new Option(
      '--output <path>',
      'save the file there: a new file, a directory (the file keeps its name), or - for standard output',
    ),
    overwriteOption(),
    new Option('--no-wait', 'return once the server has accepted').conflicts(['output', 'timeout']),
    new Option('--reason <text>', 'why, for the audit').argParser(parseReason),
    new Option(
      '--idempotency-key <key>',
      'repeat this command with the same key, and it is still one pull',
    ).argParser(parseIdempotencyKey),
    new Option('--timeout <duration>', 'stop watching after this long, e.g. 10m').argParser(parseDuration),
    new Option(
      '--expires-in <duration>',
      'give the pull up after this long, the wait for its agent included: 90s, 15m, 12h, 7d (default: 24h)',
    ).argParser(parseExpiresIn),
    new Option(
      '--offline <policy>',
      'if the agent is not connected: queue the pull (default), or fail at once with exit code 5',
    ).choices(offlinePolicySchema.options),
    new Option(
      '--on-change <policy>',
      'if the file changes meanwhile: fail (default), restart with the new version, or deliver the prefix that was there at the start (for files that are only appended to)',
    ).choices(changePolicySchema.options),
    parallelPartsOption(),
    maxRateOption(),
    new Option(
      '--force',
      'start another pull even if one of the same file, with the same --on-change, --max-rate and --parallel-parts, has not ended yet',
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
    assertUndividedOutput(output, options.output);
    if (options.overwrite === true && options.output === undefined) {
      throw new UsageError('--overwrite needs --output PATH: without it nothing is saved.');
    }
    const target =
      options.output === undefined
        ? undefined
        : await OutputPath.check(options.output, { filePath: options.file, overwrite: options.overwrite });
    const client = connect(context);
    const request: TriggerRequest = {
      ...(options.file !== undefined && { file_path: options.file }),
      ...(options.reason !== undefined && { reason: options.reason }),
      ...(options.expiresIn !== undefined && { expires_in: options.expiresIn }),
      ...(options.offline !== undefined && { offline: options.offline }),
      ...(options.onChange !== undefined && { on_change: options.onChange }),
      ...(options.force !== undefined && { force: options.force }),
      ...withLimits(options),
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
      const ended = await followPull(context, accepted, { client, view, timeoutMs }).catch(
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

function withLimits({ parallelParts, maxRate }: Options): Pick<TriggerRequest, 'limits'> {
  const limits = limitsOf({ parallelParts, maxRate });
  return limits === null ? {} : { limits };
}

/** Without --file the name is known only now: that of the agent's own --file. */
async function assertFree(target: OutputPath | undefined, accepted: UploadRecord): Promise<void> {
  try {
    await target?.resolve(accepted.file_path);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(
      `${error.message} The pull goes on.`,
      `Fetch it once it has completed: backhaul content ${accepted.upload_id} --output FILE`,
      { cause: error },
    );
  }
}
