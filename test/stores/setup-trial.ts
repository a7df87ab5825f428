import { execFile } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { S3Target } from '../harness/object-store.ts';
import { Program, logged } from '../harness/program.ts';
import { serverEnvironment } from '../harness/stage-server.ts';
import type { TemporaryDirectory } from '../harness/temporary-directory.ts';
import { TokenSigner } from '../harness/tokens.ts';
import type { TrialResult } from './trial-results.ts';

const MiB = 1024 * 1024;
const run = promisify(execFile);

interface Place {
  readonly s3: S3Target;
  readonly directory: TemporaryDirectory;
  /** Directory with the installed `aws`. */
  readonly tools: string;
}

/** Starts a server with `--setup-bucket` twice; both must start and report their changes. */
export async function trySetup({ s3, directory }: Place): Promise<TrialResult> {
  const name = '`--setup-bucket`, twice';
  const told: string[] = [];
  for (const round of ['first', 'second'] as const) {
    await using server = new Program('backhaul-server', {
      args: ['--port', '0', '--setup-bucket'],
      env: serverEnvironment(s3, new TokenSigner(), directory),
      cwd: directory.path,
    });
    const outcome = await Promise.race([
      server.line(logged('listening'), { deadlineMs: 120_000 }).then(() => 'listening'),
      server.exit.then(({ stdout, stderr }) => lastMessage(`${stdout}\n${stderr}`)),
    ]);
    if (outcome !== 'listening') return { name, outcome: 'refused', detail: `${round} time: ${outcome}` };
    const steps = stepsOf(server.output.stdout);
    const again = steps.filter(({ outcome: done }) => done === 'done').map(({ step }) => step);
    if (round === 'second' && again.length > 0) {
      return { name, outcome: 'failed', detail: `the second time it did again: ${again.join(', ')}` };
    }
    if (round === 'first') {
      const missing = steps.filter(({ outcome: done }) => done !== 'done' && done !== 'already');
      told.push(...missing.map(({ step, outcome: done }) => `${step} ${done}`));
    }
  }
  return { name, outcome: 'ok', detail: told.join(', ') };
}

/** The bucket must still accept writes of another program of its owner: in one piece, and in parts. */
export async function tryAwsCopy({ s3, directory, tools }: Place): Promise<TrialResult> {
  const small = directory.join('small.txt');
  const large = directory.join('large.bin');
  await writeFile(small, 'small');
  await writeFile(large, '');
  await truncate(large, 20 * MiB);
  for (const file of [small, large]) {
    try {
      await run(
        join(tools, 'aws-cli', 'bin', 'aws'),
        ['--endpoint-url', s3.endpoint, 's3', 'cp', '--no-progress', file, `s3://${s3.bucket}/aws/`],
        {
          timeout: 120_000,
          env: {
            PATH: process.env['PATH'],
            AWS_ACCESS_KEY_ID: s3.accessKeyId,
            AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
            AWS_REGION: 'us-east-1',
            // S3Proxy refuses the checksum that the AWS CLI sends by default since 2025.
            AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required',
            AWS_CONFIG_FILE: '/dev/null',
            AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
          },
        },
      );
    } catch (error) {
      const { stderr = String(error) } = error as { stderr?: string };
      return { name: '`aws s3 cp`', outcome: 'failed', detail: stderr.trim().slice(-300) };
    }
  }
  return { name: '`aws s3 cp`', outcome: 'ok', detail: '' };
}

interface SetupStep {
  readonly step: string;
  readonly outcome: string;
}

function stepsOf(output: string): SetupStep[] {
  return output.split('\n').flatMap((line) => {
    const entry = logged('bucket set up')(line);
    return entry === undefined ? [] : [{ step: String(entry['step']), outcome: String(entry['outcome']) }];
  });
}

/** Returns the last message of a program that ended. */
function lastMessage(output: string): string {
  const line = output.trim().split('\n').at(-1) ?? '';
  return line.startsWith('{') ? String((JSON.parse(line) as { msg?: unknown }).msg) : line;
}
