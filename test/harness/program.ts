import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Paths relative to the packages' sources or to the output of `npm run build`. */
const shims = {
  'backhaul-server': 'server/bin/backhaul-server.js',
  'backhaul-agent': 'agent/bin/backhaul-agent.js',
  'backhaul-object-store': 'object-store/bin/backhaul-object-store.js',
  backhaul: 'cli/bin/backhaul.js',
} as const;
/** Test programs, which are never compiled. */
const doubles = {
  'discarding-store': '../faults/injection/discarding-store/discarding-store-main.ts',
} as const;
export type ProgramName = keyof typeof shims | keyof typeof doubles;

const DEADLINE_MS = 30_000;
/** Settings of a developer's shell must not reach the programs under test. */
const inherited = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'SYSTEMROOT'];

/** Persists between runs, because compiling is most of the work of the many program starts. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/backhaul-tests', import.meta.url));

export interface ProgramOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Runs the published build from `dist/` instead of the sources. */
  readonly compiled?: boolean;
  /** A `node_modules/.bin` from which to start the installed program instead of this repository's. */
  readonly installedIn?: string;
  /**
   * Runs as root without the right to read other users' files (Linux's `setpriv`). Another account could not even start
   * the program from a checkout in a private directory.
   */
  readonly withoutReadingRights?: boolean;
  /** A wrapper command, such as `unshare`, with its arguments. */
  readonly through?: readonly string[];
  /** Command-line flags of Node.js. */
  readonly nodeFlags?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A real process of one of this repository's programs. */
export class Program implements AsyncDisposable {
  readonly name: ProgramName;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exit: Promise<Exit>;
  readonly #listeners = new Set<(line: string) => void>();
  #stdout = '';
  #stderr = '';

  constructor(name: ProgramName, options: ProgramOptions = {}) {
    this.name = name;
    const { args = [], env = {}, cwd } = options;
    const [command, ...prefix] = commandOf(name, options);
    this.#child = spawn(command, [...prefix, ...args], {
      env: { ...pick(process.env, inherited), NODE_COMPILE_CACHE: compileCache, ...env },
      stdio: 'pipe',
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        for (const listener of this.#listeners) listener(line);
      });
    }
    this.#exit = once(this.#child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  /** Undefined if the process never started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get exit(): Promise<Exit> {
    return this.#exit;
  }

  get output(): { readonly stdout: string; readonly stderr: string } {
    return { stdout: this.#stdout, stderr: this.#stderr };
  }

  /**
   * Waits for a line on stdout or stderr, past or future.
   *
   * @param find Returns the result to wait for, or undefined for other lines.
   * @throws Error with all output if the program exits or the deadline passes first.
   */
  async line<Found>(
    find: (line: string) => Found | undefined,
    { deadlineMs = DEADLINE_MS }: { deadlineMs?: number } = {},
  ): Promise<Found> {
    const { promise, resolve, reject } = Promise.withResolvers<Found>();
    const listener = (line: string): void => {
      const found = find(line);
      if (found !== undefined) resolve(found);
    };
    const fail = (reason: string): void =>
      reject(new Error(`${this.name} ${reason}\n${this.#stdout}\n${this.#stderr}`));
    const timer = setTimeout(() => fail(`printed nothing like that within ${deadlineMs} ms`), deadlineMs);
    this.#listeners.add(listener);
    for (const line of `${this.#stdout}\n${this.#stderr}`.split('\n')) listener(line);
    void this.#exit.then(({ code, signal }) => fail(`ended with ${code ?? signal}`));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(listener);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends SIGTERM, and SIGKILL if the program has not exited by the deadline. */
  async stop(): Promise<Exit> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), DEADLINE_MS);
    try {
      return await this.#exit;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function commandOf(
  name: ProgramName,
  {
    compiled = false,
    installedIn,
    withoutReadingRights = false,
    through = [],
    nodeFlags = [],
  }: ProgramOptions,
): readonly [string, ...string[]] {
  if (installedIn !== undefined) return [join(installedIn, name)];
  const node = [process.execPath, ...nodeFlags, binPath(name, { compiled })] as const;
  const [first, ...rest] = through;
  const command = first === undefined ? node : ([first, ...rest, ...node] as const);
  if (!withoutReadingRights) return command;
  return ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all', ...command];
}

/** Absolute path of a program's shim. */
export function binPath(name: ProgramName, { compiled = false }: { compiled?: boolean } = {}): string {
  const path = isDouble(name)
    ? doubles[name]
    : `../../${compiled ? 'dist/packages' : 'packages'}/${shims[name]}`;
  return fileURLToPath(new URL(path, import.meta.url));
}

function isDouble(name: ProgramName): name is keyof typeof doubles {
  return name in doubles;
}

/** Parses JSON log lines with this message; returns undefined for any other line. */
export function logged(message: string): (line: string) => Record<string, unknown> | undefined {
  return (line) => {
    if (!line.startsWith('{')) return undefined;
    try {
      const entry = JSON.parse(line) as Record<string, unknown>;
      return entry['msg'] === message || entry['event'] === message ? entry : undefined;
    } catch {
      return undefined;
    }
  };
}

function pick(env: NodeJS.ProcessEnv, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const])),
  );
}
