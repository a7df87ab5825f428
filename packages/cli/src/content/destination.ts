import { randomBytes } from 'node:crypto';
import { access, constants, lstat, open, realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { asOutputError } from '@backhaul/client/content';
import { savedFileName } from '@backhaul/protocol';
import { UsageError } from '../usage-error.ts';

/** Where an object is to be written. */
export type Destination =
  /** `-` */
  | { readonly kind: 'stdout' }
  /** Written beside and given its name at the end, so that the path holds the old file or the whole new one. */
  | { readonly kind: 'file'; readonly path: string; readonly overwrite: boolean }
  /** In order, as it is: `/dev/null`, a named pipe. */
  | { readonly kind: 'device'; readonly path: string };

export interface OutputOptions {
  /** The path that was asked for, as far as the command line says: a directory gets a file of its name. */
  readonly filePath?: string | undefined;
  /** Whether an existing file may be replaced. */
  readonly overwrite?: boolean | undefined;
}

/**
 * What `--output` names, checked before a pull is started for it. Nothing that exists is replaced without `--overwrite`;
 * and what that replaces is named by this command line alone, never by an agent.
 */
export class OutputPath {
  readonly isStdout: boolean;
  readonly #text: string;
  readonly #filePath: string | undefined;
  readonly #overwrite: boolean;

  private constructor(text: string, { filePath, overwrite = false }: OutputOptions) {
    this.#text = text;
    this.#filePath = filePath;
    this.#overwrite = overwrite;
    this.isStdout = text === '-';
  }

  /** @throws UsageError if nothing can be written there, or something there would be replaced. */
  static async check(text: string, options: OutputOptions = {}): Promise<OutputPath> {
    const output = new OutputPath(text, options);
    if (output.isStdout) return output;
    const kind = await kindOf(text);
    if (kind === 'none') {
      const parent = /[/\\]$/.test(text) ? text : path.dirname(path.resolve(text));
      if ((await kindOf(parent)) !== 'directory') {
        throw new UsageError(`There is no directory ${parent}.`, 'Create it, or change --output.');
      }
    }
    await assertWritable(text, kind);
    if (kind !== 'directory') await output.#assertFree(text);
    else if (options.filePath !== undefined) await output.resolve(options.filePath);
    else if (options.overwrite === true) {
      throw new UsageError(
        `--overwrite does not know which file of ${text} it may replace: only the agent names it.`,
        'Name the file: --output DIR/NAME (or, with download, the file on the machine: --file PATH).',
      );
    }
    return output;
  }

  /**
   * An existing directory gets a file of the name that was asked for, made safe.
   *
   * @param filePath The path that was asked for, where the command line does not say it.
   * @throws UsageError if it exists and may not be replaced.
   */
  async resolve(filePath: string): Promise<Destination> {
    if (this.isStdout) return { kind: 'stdout' };
    const kind = await kindOf(this.#text);
    if (kind === 'stream') return { kind: 'device', path: this.#text };
    const isInside = kind === 'directory';
    const target = isInside ? path.join(this.#text, savedFileName(this.#filePath ?? filePath)) : this.#text;
    await this.#assertFree(target);
    return {
      kind: 'file',
      // A link that the user has named stays one; in a directory the link itself would be replaced.
      path: isInside || kind === 'none' ? target : await realpath(target),
      overwrite: this.#overwrite,
    };
  }

  /** A link counts as what exists, wherever it leads. */
  async #assertFree(target: string): Promise<void> {
    const found = await lstat(target).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw cannotWrite(target, error);
    });
    if (found === undefined) return;
    const kind = await kindOf(target);
    // Nothing is lost by writing to a stream that the user has named.
    if (kind === 'stream' && target === this.#text) return;
    if (kind === 'file' || kind === 'none') {
      // --overwrite would not help.
      if (kind === 'none' && target === this.#text) {
        throw new UsageError(
          `${target} is a link to a file that does not exist, and is not replaced.`,
          'Remove the link, or change --output.',
        );
      }
      if (!this.#overwrite) throw alreadyExists(target);
      return;
    }
    throw new UsageError(`${target} is not a file, and is not replaced.`, 'Change --output.');
  }
}

function alreadyExists(target: string): UsageError {
  return new UsageError(`${target} already exists.`, 'Add --overwrite to replace it, or change --output.');
}

/**
 * Finds out by writing: rights, read-only file systems, quotas and full disks look alike only then.
 *
 * @throws UsageError
 */
async function assertWritable(text: string, kind: Awaited<ReturnType<typeof kindOf>>): Promise<void> {
  if (kind === 'other') return;
  try {
    if (kind === 'stream') {
      await access(text, constants.W_OK);
      return;
    }
    const isLink = (await lstat(text).catch(() => undefined))?.isSymbolicLink() === true;
    if (kind === 'none' && isLink) return;
    const directory =
      kind === 'directory' ? text : path.dirname(kind === 'file' ? await realpath(text) : text);
    await writeAndRemove(directory);
  } catch (error) {
    throw cannotWrite(text, error);
  }
}

/** Named as a part file, so that a kill in between leaves nothing that is not recognised. */
async function writeAndRemove(directory: string): Promise<void> {
  const file = path.join(directory, `.backhaul-${randomBytes(6).toString('hex')}.part`);
  try {
    await using handle = await open(file, 'wx', 0o600);
    await handle.writeFile(Buffer.alloc(4096));
  } finally {
    await rm(file, { force: true });
  }
}

/** `stream`: a named pipe, a terminal, `/dev/null`, … */
async function kindOf(text: string): Promise<'file' | 'directory' | 'stream' | 'other' | 'none'> {
  try {
    const found = await stat(text);
    if (found.isDirectory()) return 'directory';
    if (found.isFile()) return 'file';
    return found.isFIFO() || found.isCharacterDevice() ? 'stream' : 'other';
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'none';
    throw cannotWrite(text, error);
  }
}

function cannotWrite(text: string, cause: unknown): UsageError {
  const failure = asOutputError(cause, text);
  const problem = failure instanceof Error ? failure.message : `${text} cannot be written.`;
  return new UsageError(problem, 'Make room or change rights there, or change --output.', { cause });
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
