import { mkdtemp, realpath, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpenedFile, openFile } from '../../../packages/agent/src/file/open-file.ts';
import { gate } from '../../doubles/open-gate.ts';
import { currentPlatform } from '../../../packages/agent/src/platform/current-platform.ts';
import { AllowList } from '../../../packages/agent/src/policy/allow-list.ts';

/** A file in a directory of its own, opened like the agent opens files. */
export class TemporaryFile implements AsyncDisposable {
  readonly path: string;
  readonly opened: OpenedFile;
  readonly #directory: string;

  private constructor(directory: string, path: string, opened: OpenedFile) {
    this.#directory = directory;
    this.path = path;
    this.opened = opened;
  }

  /** @param sizeBytes Extends the file beyond its content with a hole. */
  static async create(content: string | Uint8Array, sizeBytes?: number): Promise<TemporaryFile> {
    const directory = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-file-')));
    const path = join(directory, 'file');
    await writeFile(path, content);
    if (sizeBytes !== undefined) await truncate(path, sizeBytes);
    const platform = currentPlatform();
    const allowList = new AllowList({ directories: [directory], files: [], platform, gate });
    return new TemporaryFile(directory, path, await openFile(path, { allowList, platform, gate }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.opened.close();
    await rm(this.#directory, { recursive: true });
  }
}
