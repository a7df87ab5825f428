import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { BackhaulError } from '@backhaul/protocol';
import { codeOf } from '../errno.ts';
import type { FileGate } from '../file/file-gate.ts';
import type { Log } from '../log.ts';
import { AccessibleToOthers, claimsOf, isToken, requirePrivate, type TokenSource } from './token-source.ts';

export const STATE_FILE = 'token.json';

interface State {
  readonly token: string;
  /** Hash of the owner's token that was renewed first. */
  readonly given_id: string;
  /** Whether a renewed token has been used since: the server then rejects the owner's token as a copy. */
  readonly given_replaced: boolean;
}

interface RenewableTokenDeps {
  /** Token of the machine's owner. */
  readonly given: TokenSource;
  /** Absolute path of the directory for renewed tokens. */
  readonly directory: string;
  readonly gate: FileGate;
  readonly log: Log;
}

/**
 * Provides the token of the machine's owner or its renewal by the server, whichever is newer. A renewed token is stored so
 * that a crash or power failure at any moment leaves a working token.
 */
export class RenewableToken {
  readonly #deps: RenewableTokenDeps;
  /** Token of the current connection; all usable tokens including it; rejected ones among them. */
  #current: string | null = null;
  #usable: readonly string[] = [];
  #refused: readonly string[] = [];
  #state: State | null = null;
  /** Hash of the owner's token that was replaced while this process ran; the state file may lack this. */
  #replacedId: string | null = null;
  #canKeep: boolean | undefined;
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(deps: RenewableTokenDeps) {
    this.#deps = deps;
  }

  /** Whether the directory is writable, as checked before the first connection. */
  get canKeep(): boolean {
    return this.#canKeep === true;
  }

  /** Returns the token for the next connection. Errors name the fix and never contain a token. */
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

  /** Records a rejected token. @returns Whether another one is available for the next connection. */
  refused(token: string): boolean {
    this.#refused = [...this.#refused, token];
    return this.#usable.some((other) => !this.#refused.includes(other));
  }

  /** Records that the server accepted the current token. Never rejects. */
  async welcomed(): Promise<void> {
    this.#refused = this.#refused.filter((token) => token !== this.#current);
    const state = this.#state;
    if (state === null || state.token !== this.#current || state.given_replaced) return;
    this.#usable = this.#usable.filter((token) => idOf(token) !== state.given_id);
    this.#replacedId = state.given_id;
    // Only needed for a fallback after a restart.
    await this.#write({ ...state, given_replaced: true }).catch((error: unknown) => {
      this.#deps.log.warn({ problem: nameOf(error) }, 'failed to record the use of the renewed token');
    });
  }

  /** Stores a renewed token; resolves once it would survive a power failure. @throws BackhaulError */
  async store(token: string): Promise<void> {
    const current = this.#current;
    if (current === null || token === this.#state?.token) return;
    const [renewed, before] = [claimsOf(token), claimsOf(current)];
    if (renewed === null || before === null || renewed.sub !== before.sub || renewed.iat <= before.iat) {
      throw new BackhaulError('protocol_error', 'The renewed token is not a newer token of this client.');
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
      throw new BackhaulError('agent_fault', `The renewed token could not be stored (${nameOf(cause)}).`, {
        cause,
      });
    }
  }

  /** Returns the token to use first, then the fallback. */
  async #inOrder(state: State | null): Promise<string[]> {
    if (state === null) return [await this.#deps.given()];
    let given: string;
    try {
      given = await this.#deps.given();
    } catch (error) {
      this.#deps.log.warn(
        { problem: error instanceof Error ? error.message : String(error) },
        'using the renewed token',
      );
      return [state.token];
    }
    const [own, renewed] = [claimsOf(given), claimsOf(state.token)];
    // The owner has renamed this machine since.
    if (own !== null && own.sub !== renewed?.sub) return [given];
    const isGivenLater = own !== null && own.iat >= (renewed?.iat ?? 0);
    if (isGivenLater) return [given, state.token];
    const isReplaced = state.given_replaced || this.#replacedId === state.given_id;
    return isReplaced && state.given_id === idOf(given) ? [state.token] : [state.token, given];
  }

  /** Reads the state file; null without a usable one, because the owner's token can then be used. */
  async #read(): Promise<State | null> {
    const path = join(this.#deps.directory, STATE_FILE);
    let text: string;
    try {
      text = await this.#deps.gate.run(path, async () => {
        await requirePrivate(path, { name: `the state file ${path}` });
        return await readFile(path, 'utf8');
      });
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      // Use the state from memory if the disk fails.
      if (this.#state !== null && !(error instanceof AccessibleToOthers)) return this.#state;
      if (codeOf(error) === undefined) throw error;
      this.#deps.log.error(
        { path, problem: nameOf(error) },
        'failed to read the renewed token; using the configured one',
      );
      return null;
    }
    const state = parseState(text);
    if (state === null) {
      this.#deps.log.error({ path }, 'the state file contains no renewed token; using the configured one');
    }
    return state ?? this.#state;
  }

  async #prepareDirectory(): Promise<boolean> {
    const directory = this.#deps.directory;
    try {
      await this.#deps.gate.run(directory, async () => {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
      });
      return true;
    } catch (error) {
      this.#deps.log.error(
        { directory, problem: nameOf(error) },
        'the state directory is not usable; the token is not renewed',
      );
      return false;
    }
  }

  async #write(state: State): Promise<void> {
    const before = this.#lastWrite;
    const path = join(this.#deps.directory, STATE_FILE);
    // Wait for an earlier write that timed out but may still be running.
    const write = async () => {
      await before;
      await writeDurably(path, `${JSON.stringify(state)}\n`);
    };
    await this.#deps.gate.run(path, () => {
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

/** Replaces a file atomically, also across a power failure. */
async function writeDurably(path: string, text: string): Promise<void> {
  const staged = `${path}.new`;
  // May be left over from an interrupted write. If another user created it, that user could read what is written to it.
  await unlink(staged).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
  const file = await open(staged, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(staged, path);
  // Windows cannot open directories.
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

function nameOf(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.message : String(error));
}
