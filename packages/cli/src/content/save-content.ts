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
 * Downloads the finished object of an upload to the destination.
 *
 * @returns how the content was verified, for a person.
 * @throws OutputError if the destination cannot be written; BackhaulError `checksum_mismatch` and others.
 */
export async function fetchTo(
  destination: Destination,
  record: UploadRecord,
  { client, stdout, ...options }: FetchOptions,
): Promise<string> {
  switch (destination.kind) {
    case 'stdout': {
      const write = async (chunk: Uint8Array): Promise<void> => await writeTo(stdout, chunk);
      return verifiedBy(await copyContent(client, record, write, options));
    }
    case 'device': {
      const { path } = destination;
      await using device = await openStream(path);
      // appendFile writes the whole chunk; write may write only a part of it to a pipe.
      const write = async (chunk: Uint8Array): Promise<void> =>
        await device.appendFile(chunk).catch((error: unknown) => {
          throw asOutputError(error, path);
        });
      return verifiedBy(await copyContent(client, record, write, options));
    }
    case 'file': {
      const { path, overwrite } = destination;
      const { comparedBy, resumedBytes } = await saveContent(client, record, path, { ...options, overwrite });
      const resumed = resumedBytes > 0 ? `; resumed after ${readableBytes(resumedBytes)}` : '';
      return `${verifiedBy(comparedBy)}${resumed}`;
    }
  }
}

function verifiedBy(by: 'sha256' | 'crc32' | 'size'): string {
  return `verified by ${by === 'size' ? 'size only' : by}`;
}

/** Opens without truncating, and refuses a regular file that has replaced the device since the check. */
async function openStream(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_WRONLY).catch((error: unknown) => {
    throw asOutputError(error, path);
  });
  const found = await handle.stat();
  if (found.isFIFO() || found.isCharacterDevice()) return handle;
  await handle.close();
  throw new UsageError(`${path} is no longer a device or pipe.`, 'Change --output.');
}

async function writeTo(stdout: Terminal, chunk: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(asOutputError(error, STANDARD_OUTPUT)) : resolve()));
  });
}
