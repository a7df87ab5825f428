import { randomUUID } from 'node:crypto';
import {
  type ChangePolicy,
  changePolicySchema,
  type OfflinePolicy,
  offlinePolicySchema,
  type TriggerRequest,
} from '@backhaul/protocol';
import { Option } from 'commander';
import {
  clientIdOption,
  parseDuration,
  parseExpiresIn,
  parseFilePath,
  parseIdempotencyKey,
  parseReason,
} from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { OutputPath } from '../content/destination.ts';
import { connect } from '../context.ts';
import { openView } from '../progress/open-view.ts';
import { followPull } from '../progress/follow-pull.ts';
import { deliver } from '../deliver.ts';
import { assertUndividedOutput } from '../undivided-output.ts';

interface Options {
  readonly clientId: string;
  readonly file?: string;
  readonly output?: string;
  readonly wait: boolean;
  readonly reason?: string;
  readonly idempotencyKey?: string;
  readonly timeout?: number;
  readonly expiresIn?: number;
  readonly offline?: OfflinePolicy;
  readonly onChange?: ChangePolicy;
  readonly force?: boolean;
}

export const download = defineCommand<readonly [], Options>({
  name: 'download',
  summary: 'pull a file from a machine, and watch it come',
  description:
    'Asks the server to pull a file from the machine, shows its progress until it has ended, and with --output ' +
    'fetches the finished object and checks it. Ctrl-C stops the watching; the pull goes on. The same command ' +
    'while the pull has not ended watches that one.',
  options: [
    clientIdOption().makeOptionMandatory(),
    new Option('--file <path>', "path on that machine (default: the agent's own --file)").argParser(
      parseFilePath,
    ),
    new Option('--output <path>', 'save the file there: a file, a directory, or - for standard output'),
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
    new Option('--force', 'start another pull even if one of the same file has not ended yet'),
  ],
  examples: [
    'backhaul download --client-id restaurant-1',
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
    const target = options.output === undefined ? undefined : await OutputPath.check(options.output);
    const client = connect(context);
    const request: TriggerRequest = {
      ...(options.file !== undefined && { file_path: options.file }),
      ...(options.reason !== undefined && { reason: options.reason }),
      ...(options.expiresIn !== undefined && { expires_in: options.expiresIn }),
      ...(options.offline !== undefined && { offline: options.offline }),
      ...(options.onChange !== undefined && { on_change: options.onChange }),
      ...(options.force !== undefined && { force: options.force }),
    };
    const accepted = await client.triggerDownload(options.clientId, request, {
      idempotencyKey: options.idempotencyKey ?? randomUUID(),
      signal,
    });
    if (!options.wait) {
      if (output.json) output.value(accepted);
      else {
        output.line(`Accepted: ${accepted.upload_id} is ${accepted.status}.`);
        output.line(`Follow it with: backhaul uploads ${accepted.upload_id} --follow`);
      }
      return;
    }
    const view = openView(context, target?.isStdout === true);
    try {
      const timeoutMs = options.timeout === undefined ? undefined : options.timeout * 1000;
      const ended = await followPull(context, accepted, { client, view, timeoutMs });
      await deliver(context, ended, { client, view, target });
    } finally {
      view.close();
    }
  },
});
