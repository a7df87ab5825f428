import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { BackhaulClient } from '@backhaul/client';
import { asOutputError, copyContent, saveContent } from '@backhaul/client/content';
import type { UploadRecord } from '@backhaul/protocol';
import { STANDARD_OUTPUT, type Terminal } from '../output.ts';
import { readableBytes } from '../readable.ts';
import { UsageError } from '../usage-error.ts';
import type { Destination } from './destination.ts';

export interface FetchOptions {
  readonly client: BackhaulClient;
  readonly stdout: Terminal;
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Fetches the finished object of an upload to where the command line says.
 *
 * @returns how it was compared, in words.
 * @throws OutputError if it cannot be written there; BackhaulError `checksum_mismatch` among others.
 */
export async function fetchTo(
  destination: Destination,
  record: UploadRecord,
  { client, stdout, ...options }: FetchOptions,
): Promise<string> {
  switch (destination.kind) {
    case 'stdout': {
      const write = async (chunk: Uint8Array): Promise<void> => await writeTo(stdout, chunk);
      return `compared by ${await copyContent(client, record, write, options)}`;
    }
    case 'device': {
      const { path } = destination;
      await using device = await openStream(path);
      // appendFile writes all of a chunk, which write alone need not on a pipe.
      const write = async (chunk: Uint8Array): Promise<void> =>
        await device.appendFile(chunk).catch((error: unknown) => {
          throw asOutputError(error, path);
        });
      return `compared by ${await copyContent(client, record, write, options)}`;
    }
    case 'file': {
      const { path, overwrite } = destination;
      const { comparedBy, resumedBytes } = await saveContent(client, record, path, { ...options, overwrite });
      const resumed = resumedBytes > 0 ? `; ${readableBytes(resumedBytes)} were there from before` : '';
      return `compared by ${comparedBy}${resumed}`;
    }
  }
}

/** Another file that has taken the place of a device since it was looked at is neither emptied nor written to. */
async function openStream(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_WRONLY).catch((error: unknown) => {
    throw asOutputError(error, path);
  });
  const found = await handle.stat();
  if (found.isFIFO() || found.isCharacterDevice()) return handle;
  await handle.close();
  throw new UsageError(`${path} is no device or pipe any more.`, 'Change --output.');
}

async function writeTo(stdout: Terminal, chunk: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(asOutputError(error, STANDARD_OUTPUT)) : resolve()));
  });
}
