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
  /** Time to wait for an orderly stop before SIGTERM, and again before SIGKILL. */
  readonly stopTimeoutMs?: number;
}

interface Ending {
  /** Continues "The embedded object store …". */
  readonly how: string;
  readonly exitCode: number | null;
}

/** The object store did not start; the message includes its last output. */
export class ObjectStoreFailed extends Error {
  override readonly name = 'ObjectStoreFailed';
  /** Null if it did not exit normally. */
  readonly exitCode: number | null;

  constructor({ how, exitCode }: Ending, lastLines: readonly string[]) {
    super([`The embedded object store ${how}.`, ...lastLines].join('\n  '));
    this.exitCode = exitCode;
  }
}

/** Generous: a busy machine takes seconds to start a process. */
const START_TIMEOUT_MS = 30_000;
/** The store waits up to 10 s for running requests, but the server's whole shutdown may take that long. */
const STOP_TIMEOUT_MS = 6_000;
const MAX_LAST_LINES = 20;

type StoreProcess = ChildProcessByStdio<Writable, Readable, Readable>;

const listeningSchema = z.object({ event: z.literal('listening'), url: z.url() });

/** One run of `backhaul-object-store`. It exits when its standard input closes, so also when this process dies. */
export class ObjectStoreChild {
  readonly url: string;
  /** Resolves when the process has exited; never rejects. */
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
   * @param where.port 0 for any free port.
   * @throws ObjectStoreFailed
   */
  static async start(
    options: ObjectStoreOptions,
    { port, signal }: { port: number; signal: AbortSignal },
  ): Promise<ObjectStoreChild> {
    signal.throwIfAborted();
    const child = spawnStore(options, port);
    const lastLines: string[] = [];
    createInterface(child.stderr).on('line', (line) => {
      options.log.warn({ line }, 'object store output');
      lastLines.push(line);
      if (lastLines.length > MAX_LAST_LINES) lastLines.shift();
    });
    const exited = exitOf(child);
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const outcome = await Promise.race([listeningUrl(child.stdout), exited, whenAborted(deadline)]);
    if (typeof outcome === 'string') {
      return new ObjectStoreChild(outcome, { process: child, exited, stopTimeoutMs: options.stopTimeoutMs });
    }
    await stop(child, exited, options.stopTimeoutMs);
    signal.throwIfAborted();
    throw new ObjectStoreFailed(outcome, lastLines);
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
    // Detached from the terminal's process group: Ctrl-C must reach the server first, which still needs its store to
    // stop.
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  // Nothing is written to it, but a pipe whose reader died emits its error here.
  child.stdin.on('error', () => undefined);
  return child;
}

function exitOf(child: StoreProcess): Promise<Ending> {
  return new Promise((resolve) => {
    // Not `once`: a later error, of a signal that could not be sent, must not be unhandled.
    child.on('error', (error) => resolve({ how: `cannot be started: ${error.message}`, exitCode: null }));
    // "close" comes later than "exit", after the last output has been read.
    child.once('close', (exitCode, signal) => {
      const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
      resolve({ how, exitCode });
    });
  });
}

function listeningUrl(stdout: Readable): Promise<string> {
  return new Promise((resolve) => {
    // Reads on after that, because a full pipe would block the child.
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

/** Closes the child's input, then sends SIGTERM, then SIGKILL. */
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
