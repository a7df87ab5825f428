import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('odd-mount.py', import.meta.url));

/** Why no file system can be mounted here; false if one can. */
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

/** A mounted file system whose files misbehave as their names say: see `odd-mount.py`. */
export class OddMount implements AsyncDisposable {
  readonly path: string;
  /** What it told: `hangs NAME`, `holds NAME`, `fails NAME`. */
  readonly told: string[] = [];
  readonly #daemon: ChildProcess;
  #changed = Promise.withResolvers<void>();

  private constructor(path: string, daemon: ChildProcess) {
    this.path = path;
    this.#daemon = daemon;
  }

  /** @param path An empty directory. */
  static async at(path: string, mode: 'odd' | 'dead' = 'odd'): Promise<OddMount> {
    const daemon = spawn('python3', [program, path, mode], { stdio: ['pipe', 'pipe', 'inherit'] });
    const mount = new OddMount(path, daemon);
    if (daemon.stdout === null) throw new Error('it has no output');
    createInterface(daemon.stdout).on('line', (line) => {
      mount.told.push(line);
      mount.#changed.resolve();
      mount.#changed = Promise.withResolvers();
    });
    await mount.tells('ready');
    return mount;
  }

  async tells(line: string): Promise<void> {
    while (!this.told.includes(line)) await this.#changed.promise;
  }

  /** What is held comes back; what hangs does not. */
  answerHeld(): void {
    this.#daemon.stdin?.write('\n');
  }

  /** What hangs comes back with an error. */
  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#daemon, 'exit');
    this.#daemon.kill('SIGKILL');
    await exit;
    execFileSync('umount', ['-l', this.path]);
  }
}
