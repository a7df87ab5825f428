import { randomBytes } from 'node:crypto';
import { access, constants, lstat, open, realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { asOutputError } from '@backhaul/client/content';
import { savedFileName } from '@backhaul/protocol';
import { UsageError } from '../errors.ts';

/** Where to write an object. */
export type Destination =
  /** `-` */
  | { readonly kind: 'stdout' }
  /** Written to a temporary file and renamed at the end, so that the path holds the old file or the whole new one. */
  | { readonly kind: 'file'; readonly path: string; readonly overwrite: boolean }
  /** Written in order, without a temporary file: `/dev/null`, a named pipe. */
  | { readonly kind: 'device'; readonly path: string };

interface OutputPathOptions {
  /** The path on the machine, if the command line gives it: its name is used inside a directory. */
  readonly filePath?: string | undefined;
  /** Whether an existing file may be replaced. */
  readonly overwrite?: boolean | undefined;
  /** Whether standard output receives JSON. */
  readonly json?: boolean | undefined;
}

/**
 * The path of `--output`, checked before the upload is triggered. Existing files are replaced only with `--overwrite`,
 * and only if the command line names the file, never if the agent does.
 */
export class OutputPath {
  readonly isStdout: boolean;
  readonly #text: string;
  readonly #filePath: string | undefined;
  readonly #overwrite: boolean;

  private constructor(text: string, { filePath, overwrite = false }: OutputPathOptions) {
    this.#text = text;
    this.#filePath = filePath;
    this.#overwrite = overwrite;
    this.isStdout = text === '-';
  }

  /**
   * @throws UsageError if the path is not writable, if an existing file would be replaced, or if both the file and JSON
   *   would be written to standard output.
   */
  static async check(text: string, options: OutputPathOptions): Promise<OutputPath> {
    const output = new OutputPath(text, options);
    if (output.isStdout && options.json === true) {
      throw new UsageError(
        '--json and "--output -" would both write to standard output.',
        'Give --output a path, or leave out --json.',
      );
    }
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
        `--overwrite with the directory ${text} requires a file name: otherwise the agent would choose the file to replace.`,
        'Give the file name: --output DIR/NAME (or, with download, the path on the machine: --file PATH).',
      );
    }
    return output;
  }

  /**
   * Resolves the path. In an existing directory, the file gets the sanitised name of the requested file.
   *
   * @param filePath The path on the machine, used if the command line does not give it.
   * @throws UsageError if the file exists and may not be replaced.
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
      // A link named by the user is followed and remains; inside a directory the link itself would be replaced.
      path: isInside || kind === 'none' ? target : await realpath(target),
      overwrite: this.#overwrite,
    };
  }

  /** A link counts as existing, even if its target does not. */
  async #assertFree(target: string): Promise<void> {
    const found = await lstat(target).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw cannotWrite(target, error);
    });
    if (found === undefined) return;
    const kind = await kindOf(target);
    // Writing to a stream that the user named destroys nothing.
    if (kind === 'stream' && target === this.#text) return;
    if (kind === 'file' || kind === 'none') {
      // Refused even with --overwrite.
      if (kind === 'none' && target === this.#text) {
        throw new UsageError(
          `${target} is a link to a file that does not exist; it is not replaced.`,
          'Remove the link, or change --output.',
        );
      }
      if (!this.#overwrite) throw alreadyExists(target);
      return;
    }
    throw new UsageError(`${target} is not a regular file; it is not replaced.`, 'Change --output.');
  }
}

function alreadyExists(target: string): UsageError {
  return new UsageError(`${target} already exists.`, 'Add --overwrite to replace it, or change --output.');
}

/**
 * Writes a temporary file: the only check that covers permissions, read-only file systems, quotas and full disks.
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

/** Named like a part file, so that a file left behind by a kill is cleaned up like one. */
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
  return new UsageError(problem, 'Free disk space or change the permissions there, or change --output.', {
    cause,
  });
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
