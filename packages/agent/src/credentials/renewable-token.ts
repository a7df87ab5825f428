import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { BackhaulError } from '@backhaul/protocol';
import type { FileGate } from '../file/file-gate.ts';
import type { Log } from '../log.ts';
import { claimsOf, isToken, OpenToOthers, requirePrivate, type TokenSource } from './token-source.ts';

export const STATE_FILE = 'token.json';

interface State {
  readonly token: string;
  /** Hash of the owner's token that the first of the renewed ones was handed out for. */
  readonly given_id: string;
  /** Whether a renewed one has been welcomed since: then the server refuses that token, and takes it for a copy. */
  readonly given_replaced: boolean;
}

interface RenewableTokenParts {
  /** Of the machine's owner. */
  readonly given: TokenSource;
  /** Where renewed ones are kept; absolute. */
  readonly directory: string;
  readonly gate: FileGate;
  readonly log: Log;
}

/**
 * The token that the machine's owner gave, or the one that the server has renewed it with since: the later of the two. A
 * renewed one is kept so that a crash or a power cut at any moment leaves one that works.
 */
export class RenewableToken {
  readonly #given: TokenSource;
  readonly #directory: string;
  readonly #gate: FileGate;
  readonly #log: Log;
  /** That the present connection uses; those that it could use instead, with it, and those of these that were refused. */
  #current: string | null = null;
  #usable: readonly string[] = [];
  #refused: readonly string[] = [];
  #state: State | null = null;
  #canKeep: boolean | undefined;
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(parts: RenewableTokenParts) {
    this.#given = parts.given;
    this.#directory = parts.directory;
    this.#gate = parts.gate;
    this.#log = parts.log;
  }

  /** Whether the directory can be written, as it was found at the first connection. */
  get canKeep(): boolean {
    return this.#canKeep === true;
  }

  /** For the next connection. The errors say what to change, and never repeat a token. */
  async next(): Promise<string> {
    this.#canKeep ??= await this.#prepareDirectory();
    this.#state = await this.#read();
    this.#usable = await this.#inOrder(this.#state);
    const left = this.#usable.filter((token) => !this.#refused.includes(token));
    if (left.length === 0) this.#refused = [];
    const [token] = left.length > 0 ? left : this.#usable;
    if (token === undefined) throw new Error('there is no token');
    this.#current = token;
    return token;
  }

  /** The server does not take this token. @returns Whether there is another one, for the next connection. */
  refused(token: string): boolean {
    this.#refused = [...this.#refused, token];
    return this.#usable.some((other) => !this.#refused.includes(other));
  }

  /** The server has taken the present one. Never rejects. */
  async welcomed(): Promise<void> {
    this.#refused = this.#refused.filter((token) => token !== this.#current);
    const state = this.#state;
    if (state === null || state.token !== this.#current || state.given_replaced) return;
    this.#usable = this.#usable.filter((token) => idOf(token) !== state.given_id);
    // Only for the sake of a later fallback.
    await this.#write({ ...state, given_replaced: true }).catch((error: unknown) => {
      this.#log.warn({ problem: nameOf(error) }, 'the use of the renewed token was not put on record');
    });
  }

  /** Resolves when it would survive a power cut. @throws BackhaulError */
  async store(token: string): Promise<void> {
    const current = this.#current;
    if (current === null || token === this.#state?.token) return;
    const [renewed, before] = [claimsOf(token), claimsOf(current)];
    if (renewed === null || before === null || renewed.sub !== before.sub || renewed.iat <= before.iat) {
      throw new BackhaulError('protocol_error', 'The renewed token is not a later one of this client.');
    }
    const isFirst = current !== this.#state?.token;
    const known = isFirst ? undefined : this.#state;
    try {
      await this.#write({
        token,
        given_id: known?.given_id ?? idOf(current),
        given_replaced: known !== undefined,
      });
    } catch (cause) {
      throw new BackhaulError('agent_fault', `The renewed token could not be kept (${nameOf(cause)}).`, {
        cause,
      });
    }
  }

  /** The one to use first, and the one to fall back to. */
  async #inOrder(state: State | null): Promise<string[]> {
    if (state === null) return [await this.#given()];
    let given: string;
    try {
      given = await this.#given();
    } catch (error) {
      this.#log.warn(
        { problem: error instanceof Error ? error.message : String(error) },
        'using the renewed token',
      );
      return [state.token];
    }
    const [own, renewed] = [claimsOf(given), claimsOf(state.token)];
    // The owner gave this machine another name since.
    if (own !== null && own.sub !== renewed?.sub) return [given];
    const isGivenLater = own !== null && own.iat >= (renewed?.iat ?? 0);
    if (isGivenLater) return [given, state.token];
    return state.given_replaced && state.given_id === idOf(given) ? [state.token] : [state.token, given];
  }

  /** Null if there is none that can be used: the owner's token is good at least for a fresh start. */
  async #read(): Promise<State | null> {
    const path = join(this.#directory, STATE_FILE);
    let text: string;
    try {
      text = await this.#gate.run(path, async () => {
        await requirePrivate(path, { what: `the state file ${path}` });
        return await readFile(path, 'utf8');
      });
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      // Known since it was last read or written, whatever has become of the disk.
      if (this.#state !== null && !(error instanceof OpenToOthers)) return this.#state;
      if (codeOf(error) === undefined) throw error;
      this.#log.error(
        { path, problem: nameOf(error) },
        'the renewed token cannot be read; using the given one',
      );
      return null;
    }
    const state = parseState(text);
    if (state === null) {
      this.#log.error({ path }, 'the state file holds no renewed token; using the given one');
    }
    return state ?? this.#state;
  }

  async #prepareDirectory(): Promise<boolean> {
    const directory = this.#directory;
    try {
      await this.#gate.run(directory, async () => {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
      });
      return true;
    } catch (error) {
      this.#log.error(
        { directory, problem: nameOf(error) },
        'the state directory cannot be used; the token is not renewed',
      );
      return false;
    }
  }

  async #write(state: State): Promise<void> {
    const before = this.#lastWrite;
    const path = join(this.#directory, STATE_FILE);
    // A call that was given up may still be under way: it must not come after this one.
    const write = async () => {
      await before;
      await writeDurably(path, `${JSON.stringify(state)}\n`);
    };
    await this.#gate.run(path, () => {
      const written = write();
      this.#lastWrite = written.catch(() => {});
      return written;
    });
    this.#state = state;
  }
}

function parseState(text: string): State | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  const { token, given_id, given_replaced } = (json ?? {}) as Partial<Record<keyof State, unknown>>;
  if (typeof token !== 'string' || !isToken(token)) return null;
  if (typeof given_id !== 'string' || typeof given_replaced !== 'boolean') return null;
  return { token, given_id, given_replaced };
}

/** A reader finds the old content or the new one, whole, also after a power cut. */
async function writeDurably(path: string, text: string): Promise<void> {
  const staged = `${path}.new`;
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  // Windows has no O_NOFOLLOW; undefined counts as 0.
  const file = await open(staged, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    // Left behind by a write that was cut off, it may have another mode.
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(staged, path);
  // Windows opens no directories.
  if (process.platform === 'win32') return;
  const directory = await open(join(path, '..'), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function idOf(token: string): string {
  return createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url');
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

function nameOf(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.message : String(error));
}
