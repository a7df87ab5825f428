import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type S3Target, s3Client } from '../harness/object-store.ts';
import type { RealStore } from './real-stores.ts';

const run = promisify(execFile);
const scripts = import.meta.dirname;
const accessKeyId = 'AKTEST0';
const secretAccessKey = 'SKTEST0';

/** Installs a store or another program if it is missing. @param tools Permanent installation directory. */
export async function installTool(name: string, tools: string): Promise<void> {
  await script(name, ['install', join(tools, name)]);
}

/** A real store with its default configuration and its data in a directory of the caller. */
export class RunningStore implements AsyncDisposable {
  readonly endpoint: string;
  readonly #directory: string;

  private constructor(endpoint: string, directory: string) {
    this.endpoint = endpoint;
    this.#directory = directory;
  }

  /** @throws Error with the end of its output if it does not start. */
  static async start(
    store: RealStore,
    { tools, directory }: { tools: string; directory: string },
  ): Promise<RunningStore> {
    await script(store.name, ['up', join(tools, store.name), directory, String(store.port)]);
    return new RunningStore(`http://127.0.0.1:${store.port}`, directory);
  }

  /** Returns a bucket for a stage; it does not exist yet. */
  target(bucket: string): S3Target {
    const client = s3Client(this.endpoint, accessKeyId, secretAccessKey);
    return {
      ...{ endpoint: this.endpoint, bucket, accessKeyId, secretAccessKey, client },
      ...{ isEmbedded: false, embedded: undefined },
      [Symbol.asyncDispose]: () => {
        client.destroy();
        return Promise.resolve();
      },
    };
  }

  /** Sends SIGTERM, and SIGKILL to processes that still run after ten seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pids = (await readFile(join(this.#directory, 'pids'), 'utf8'))
      .trim()
      .split(/[\s,]+/)
      .map(Number);
    let running = pids.filter((pid) => signal(pid, 'SIGTERM'));
    for (const deadline = performance.now() + 10_000; running.length > 0 && performance.now() < deadline;) {
      await sleep(100);
      running = running.filter((pid) => signal(pid, 0));
    }
    for (const pid of running) signal(pid, 'SIGKILL');
  }
}

async function script(name: string, args: readonly string[]): Promise<void> {
  try {
    await run('bash', [join(scripts, `${name}.sh`), ...args], { maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(`${name}.sh ${args[0]} failed:\n${stderr.slice(-2000)}`, { cause: error });
  }
}

/** @returns whether the process exists. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
