import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('faulty-mount.py', import.meta.url));

/** For a test's `skip`: why no file system can be mounted here; false if one can. */
export const cannotMount: string | false =
  process.getuid?.() !== 0
    ? 'only root can mount a file system'
    : !existsSync('/dev/fuse')
      ? 'there is no /dev/fuse'
      : noPython();

function noPython(): string | false {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'there is no python3';
  }
}

/** A mounted file system whose files fail as their names say: see `faulty-mount.py`. */
export class FaultyMount implements AsyncDisposable {
  readonly path: string;
  /** Reported events: `hangs NAME`, `holds NAME`, `fails NAME`. */
  readonly events: string[] = [];
  readonly #daemon: ChildProcess;
  #changed = Promise.withResolvers<void>();

  private constructor(path: string, daemon: ChildProcess) {
    this.path = path;
    this.#daemon = daemon;
  }

  /** @param path An empty directory. */
  static async at(path: string, mode: 'faulty' | 'dead' = 'faulty'): Promise<FaultyMount> {
    const daemon = spawn('python3', [program, path, mode], { stdio: ['pipe', 'pipe', 'inherit'] });
    const mount = new FaultyMount(path, daemon);
    if (daemon.stdout === null) throw new Error('the file system has no output');
    createInterface(daemon.stdout).on('line', (line) => {
      mount.events.push(line);
      mount.#changed.resolve();
      mount.#changed = Promise.withResolvers();
    });
    await mount.waitFor('ready');
    return mount;
  }

  async waitFor(event: string): Promise<void> {
    while (!this.events.includes(event)) await this.#changed.promise;
  }

  /** Completes held calls; hanging ones continue to hang. */
  releaseHeld(): void {
    this.#daemon.stdin?.write('\n');
  }

  /** Hanging calls fail with an error. */
  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#daemon, 'exit');
    this.#daemon.kill('SIGKILL');
    await exit;
    execFileSync('umount', ['-l', this.path]);
  }
}
