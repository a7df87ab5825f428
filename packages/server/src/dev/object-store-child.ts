import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Log } from '../domain/ports/log.ts';

/** The program without its flags. */
export type StoreCommand = readonly [file: string, ...args: string[]];

export interface ObjectStoreOptions {
  readonly command: StoreCommand;
  readonly dataDir: string;
  readonly accessLog: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
  /** How long it may take to stop when asked, before it is asked more roughly. */
  readonly stopTimeoutMs?: number;
}

interface Ending {
  /** Continues "The embedded object store …". */
  readonly how: string;
  readonly exitCode: number | null;
}

/** The object store did not start; the message has its own last words. */
export class ObjectStoreFailed extends Error {
  override readonly name = 'ObjectStoreFailed';
  /** Null if it did not end by itself. */
  readonly exitCode: number | null;

  constructor({ how, exitCode }: Ending, lastWords: readonly string[]) {
    super([`The embedded object store ${how}.`, ...lastWords].join('\n  '));
    this.exitCode = exitCode;
  }
}

/** Generous: a busy machine takes seconds to start a process. */
const START_TIMEOUT_MS = 30_000;
/** It waits up to 10 s for requests under way, which is what one server's stop may take as a whole. */
const STOP_TIMEOUT_MS = 6_000;
const KEPT_STDERR_LINES = 20;

type StoreProcess = ChildProcessByStdio<Writable, Readable, Readable>;

const listeningSchema = z.object({ event: z.literal('listening'), url: z.url() });

/** One run of `backhaul-object-store`. It ends when its standard input does, so also when this process dies. */
export class ObjectStoreChild {
  readonly url: string;
  /** Settles when the process is gone, with how it went; never rejects. */
  readonly exited: Promise<Ending>;
  readonly #process: StoreProcess;
  readonly #stopTimeoutMs: number | undefined;

  private constructor(
    url: string,
    run: { process: StoreProcess; exited: Promise<Ending>; stopTimeoutMs: number | undefined },
  ) {
    this.url = url;
    this.exited = run.exited;
    this.#process = run.process;
    this.#stopTimeoutMs = run.stopTimeoutMs;
  }

  /**
   * @param where.port 0 for any free one.
   * @throws ObjectStoreFailed
   */
  static async start(
    options: ObjectStoreOptions,
    { port, signal }: { port: number; signal: AbortSignal },
  ): Promise<ObjectStoreChild> {
    signal.throwIfAborted();
    const child = spawnStore(options, port);
    const lastWords: string[] = [];
    createInterface(child.stderr).on('line', (line) => {
      options.log.warn({ line }, 'object store reports');
      lastWords.push(line);
      if (lastWords.length > KEPT_STDERR_LINES) lastWords.shift();
    });
    const exited = whenGone(child);
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const outcome = await Promise.race([listeningUrl(child.stdout), exited, whenAborted(deadline)]);
    if (typeof outcome === 'string') {
      return new ObjectStoreChild(outcome, { process: child, exited, stopTimeoutMs: options.stopTimeoutMs });
    }
    await stop(child, exited, options.stopTimeoutMs);
    signal.throwIfAborted();
    throw new ObjectStoreFailed(outcome, lastWords);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async stop(): Promise<void> {
    await stop(this.#process, this.exited, this.#stopTimeoutMs);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }
}

function spawnStore(options: ObjectStoreOptions, port: number): StoreProcess {
  const [file, ...args] = options.command;
  const flags = [
    `--port=${port}`,
    `--data=${options.dataDir}`,
    `--bucket=${options.bucket}`,
    `--access-log=${options.accessLog}`,
    '--exit-with-stdin',
  ];
  const child = spawn(file, [...args, ...flags], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Not as flags: every user of the machine can read those.
    env: {
      ...options.environment,
      BACKHAUL_STORE_ACCESS_KEY: options.accessKey,
      BACKHAUL_STORE_SECRET_KEY: options.secretKey,
    },
    // Out of the terminal's process group: Ctrl-C must reach the server first, which still needs its store to stop.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  // Written to by nobody, but a pipe whose reader died reports that here.
  child.stdin.on('error', () => undefined);
  return child;
}

function whenGone(child: StoreProcess): Promise<Ending> {
  return new Promise((resolve) => {
    // Not once: a later one, of a signal that could not be sent, must not go unheard.
    child.on('error', (error) => resolve({ how: `cannot be started: ${error.message}`, exitCode: null }));
    // Later than "exit": by then its last words are read.
    child.once('close', (exitCode, signal) => {
      const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
      resolve({ how, exitCode });
    });
  });
}

function listeningUrl(stdout: Readable): Promise<string> {
  return new Promise((resolve) => {
    // Read to the end even after that, because a full pipe would stop the child.
    createInterface(stdout).on('line', (line) => {
      const event = listeningSchema.safeParse(parseJson(line));
      if (event.success) resolve(event.data.url);
    });
  });
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function whenAborted(deadline: AbortSignal): Promise<Ending> {
  const late = { how: `was not listening after ${START_TIMEOUT_MS} ms`, exitCode: null };
  return new Promise((resolve) => {
    if (deadline.aborted) resolve(late);
    else deadline.addEventListener('abort', () => resolve(late), { once: true });
  });
}

/** Asks by closing its input, then by a signal, then doesn't ask. */
async function stop(
  child: StoreProcess,
  exited: Promise<unknown>,
  timeoutMs = STOP_TIMEOUT_MS,
): Promise<void> {
  child.stdin.end();
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (await settlesWithin(exited, timeoutMs)) return;
    child.kill(signal);
  }
  await settlesWithin(exited, timeoutMs);
}

async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const inTime = await Promise.race([promise.then(() => true), late]);
  timer.abort();
  return inTime;
}
