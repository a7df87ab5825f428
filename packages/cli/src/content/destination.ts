import { stat } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../usage-error.ts';
import { safeFileName } from './safe-file-name.ts';

/** Where an object is to be written. */
export type Destination =
  /** `-` */
  | { readonly kind: 'stdout' }
  /** Written beside and renamed, so that the path holds the old file or the whole new one. */
  | { readonly kind: 'file'; readonly path: string }
  /** In order, as it is: `/dev/null`, a named pipe. */
  | { readonly kind: 'device'; readonly path: string };

export interface NamedContent {
  readonly file_name: string;
  readonly upload_id: string;
}

/** What `--output` names, looked at before a pull is started for it. */
export class OutputPath {
  readonly isStdout: boolean;
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
    this.isStdout = text === '-';
  }

  /** @throws UsageError if nothing can be written there. */
  static async check(text: string): Promise<OutputPath> {
    const output = new OutputPath(text);
    if (output.isStdout) return output;
    const kind = await kindOf(text);
    if (kind === 'none') {
      if (/[/\\]$/.test(text))
        throw new UsageError(`There is no directory ${text}.`, 'Create it, or change --output.');
      const parent = path.dirname(path.resolve(text));
      if ((await kindOf(parent)) !== 'directory') {
        throw new UsageError(`There is no directory ${parent}.`, 'Create it, or change --output.');
      }
    }
    return output;
  }

  /** An existing directory gets a file of the content's own name. */
  async resolve(content: NamedContent): Promise<Destination> {
    if (this.isStdout) return { kind: 'stdout' };
    switch (await kindOf(this.#text)) {
      case 'directory':
        return { kind: 'file', path: path.join(this.#text, safeFileName(content)) };
      case 'device':
        return { kind: 'device', path: this.#text };
      case 'file':
      case 'none':
        return { kind: 'file', path: this.#text };
    }
  }
}

async function kindOf(text: string): Promise<'file' | 'directory' | 'device' | 'none'> {
  try {
    const found = await stat(text);
    if (found.isDirectory()) return 'directory';
    return found.isFile() ? 'file' : 'device';
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (code === 'ENOENT') return 'none';
    throw new UsageError(`${text} cannot be written to (${code}).`, 'Change --output.', { cause });
  }
}
