import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { BackhaulClient } from '@backhaul/client';
import { asOutputError, copyContent, saveContent } from '@backhaul/client/content';
import { printable, type UploadRecord } from '@backhaul/protocol';
import type { Context } from '../command.ts';
import { Interrupted, UndeliveredError, UploadFailedError, UsageError } from '../errors.ts';
import { fetchCommand } from '../failure.ts';
import { STANDARD_OUTPUT, type Terminal } from '../output.ts';
import type { ProgressView } from '../progress/views.ts';
import { readableBytes, readableDuration, readableRate } from '../readable.ts';
import type { Destination, OutputPath } from './destination.ts';

export interface DeliverOptions {
  readonly client: BackhaulClient;
  readonly view: ProgressView;
  /** Undefined: the object is not downloaded. */
  readonly target: OutputPath | undefined;
}

/**
 * Last step after an upload has ended: downloads the object if requested, and prints the result.
 *
 * @throws UploadFailedError if the upload did not complete; UndeliveredError if the object cannot be downloaded or
 *   written.
 */
export async function deliver(
  context: Context,
  record: UploadRecord,
  { client, view, target }: DeliverOptions,
): Promise<void> {
  if (record.status !== 'completed') throw new UploadFailedError(record);
  const { output, signal } = context;
  const completed = describeCompleted(record);
  if (target === undefined) {
    view.close();
    if (!output.json) output.lines([completed, `  get the file: ${fetchCommand(record)}`]);
    return;
  }
  try {
    const destination = await target.resolve(record.file_path);
    const verified = await fetchTo(destination, record, {
      client,
      stdout: output.stdout,
      signal,
      onProgress: (done, total) => view.showFetching({ purpose: 'saving', done, total }),
    });
    view.close();
    if (output.json) return;
    const location =
      destination.kind === 'stdout' ? `written to ${STANDARD_OUTPUT}` : `saved to ${destination.path}`;
    const lines = [completed, `  ${printable(location)} (${verified})`];
    if (destination.kind === 'stdout') output.remark(lines.join('\n'));
    else output.lines(lines);
  } catch (error) {
    view.close();
    if (error instanceof Interrupted) {
      output.remark(`The upload is complete, the download is not. Resume it with: ${fetchCommand(record)}`);
      throw error;
    }
    // A broken pipe of standard output may also arrive as the reason of the signal.
    throw new UndeliveredError(record, asOutputError(error, STANDARD_OUTPUT));
  }
}

function describeCompleted(record: UploadRecord): string {
  const { size, upload_duration_ms: ms } = record;
  const words = [`${record.upload_id} completed: ${record.file_name}`];
  if (size !== null) words.push(readableBytes(size));
  if (ms !== null) words.push(`in ${readableDuration(ms)}`);
  if (size !== null && ms !== null && ms > 0) words.push(`at ${readableRate((size * 1000) / ms)}`);
  return printable(words.join('  '));
}

interface FetchOptions {
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
async function fetchTo(
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
