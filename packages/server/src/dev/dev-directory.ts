import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MIN_JWT_SECRET_BYTES } from '@backhaul/protocol';
import { DEV_FILE, type DevFile, devFileSchema } from '@backhaul/protocol/dev-file';
import { z } from 'zod';
import { ConfigError } from '../config/config-error.ts';
import { FileLock, FileLockHeld } from '../file-lock.ts';

/** Directory of all dev mode state, relative to the working directory. */
const DEV_DIRECTORY = dirname(DEV_FILE);

const devStateSchema = z.strictObject({
  jwt_secret: z.string().min(MIN_JWT_SECRET_BYTES),
  store_access_key: z.string().min(1),
  store_secret_key: z.string().min(1),
  /** Last port of the object store; earlier presigned URLs stay valid if it listens there again. */
  store_port: z.int().min(0).max(65_535),
});

/** State that survives a restart in dev mode, so that tokens and URLs stay valid. */
export type DevState = z.infer<typeof devStateSchema>;

/** `.backhaul/`: a directory that only its owner can enter, used by one server at a time. */
export class DevDirectory implements Disposable {
  readonly #path: string;
  readonly #lock: FileLock;

  private constructor(path: string, lock: FileLock) {
    this.#path = path;
    this.#lock = lock;
  }

  /** @throws ConfigError if another server is using it. */
  static async open(cwd: string): Promise<DevDirectory> {
    const path = join(cwd, DEV_DIRECTORY);
    await mkdir(path, { recursive: true, mode: 0o700 });
    // An existing directory may have wider permissions.
    await chmod(path, 0o700);
    const lock = takeLock(path);
    await writeFile(join(path, '.gitignore'), '*\n');
    return new DevDirectory(path, lock);
  }

  file(name: string): string {
    return join(this.#path, name);
  }

  /** Reads the state, or creates one with new secrets. @throws ConfigError if the file is damaged. */
  async loadState(): Promise<DevState> {
    const text = await readFileIfAny(this.#stateFile);
    if (text !== undefined) return parseState(this.#stateFile, text);
    const state = {
      jwt_secret: randomBytes(48).toString('base64url'),
      store_access_key: `BACKHAUL${randomBytes(6).toString('hex').toUpperCase()}`,
      store_secret_key: randomBytes(30).toString('base64url'),
      store_port: 0,
    };
    await this.saveState(state);
    return state;
  }

  async saveState(state: DevState): Promise<void> {
    await writePrivateFile(this.#stateFile, state);
  }

  /** Writes the file by which the command line and agents started in this directory find the server. */
  async writeDevFile(content: DevFile): Promise<void> {
    await writePrivateFile(this.#devFile, devFileSchema.parse(content));
  }

  /** Does not remove another server's file or one that is no dev file. */
  async removeDevFile(own: DevFile): Promise<void> {
    const found = parseDevFile(await readFileIfAny(this.#devFile));
    if (found?.pid === own.pid && found.operator_token === own.operator_token) {
      await rm(this.#devFile, { force: true });
    }
  }

  get #stateFile(): string {
    return this.file('state.json');
  }

  get #devFile(): string {
    return this.file(basename(DEV_FILE));
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}

function takeLock(directory: string): FileLock {
  try {
    return new FileLock(join(directory, 'lock.sqlite'));
  } catch (cause) {
    if (!(cause instanceof FileLockHeld)) throw cause;
    const message = `--dev cannot use ${directory}: another backhaul-server --dev is running there. Stop it, or start this one in another directory.`;
    throw new ConfigError([{ setting: '--dev', message }], { cause });
  }
}

function parseState(path: string, text: string): DevState {
  try {
    return devStateSchema.parse(JSON.parse(text));
  } catch {
    // Omits the parser's message, which would quote the secrets.
    const message = `--dev stores its secrets in ${path}, which is damaged. Remove that file to create new ones; existing tokens become invalid.`;
    throw new ConfigError([{ setting: '--dev', message }]);
  }
}

function parseDevFile(text: string | undefined): DevFile | undefined {
  if (text === undefined) return undefined;
  try {
    return devFileSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Atomically replaces a file that only its owner may read: readers see the old or the new content. */
async function writePrivateFile(path: string, content: object): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  // A draft left by a crash may have other permissions, which opening would not change.
  await rm(draft, { force: true });
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(content, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

/** @returns undefined if the file does not exist. */
async function readFileIfAny(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
