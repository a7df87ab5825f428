import type { FileHandle } from 'node:fs/promises';
import { cutIntoRanges } from './fetch-object.ts';

const NOTE_BYTES = 4;

/** Reads the number of bytes of each range from the notes after the content. An impossible note counts as zero. */
export async function readNotes(handle: FileHandle, sizeBytes: number): Promise<Uint32Array> {
  const ranges = [...cutIntoRanges(sizeBytes)];
  const notes = Buffer.alloc(ranges.length * NOTE_BYTES);
  await handle.read(notes, 0, notes.length, sizeBytes);
  return Uint32Array.from(ranges, ({ start, end }, index) => {
    const done = notes.readUInt32LE(index * NOTE_BYTES);
    return done <= end - start ? done : 0;
  });
}

export async function writeNote(
  handle: FileHandle,
  sizeBytes: number,
  { index, done }: { readonly index: number; readonly done: number },
): Promise<void> {
  const note = Buffer.alloc(NOTE_BYTES);
  note.writeUInt32LE(done);
  await writeAll(handle, note, sizeBytes + index * NOTE_BYTES);
}

/**
 * Copies the noted bytes of a part file to another, empty part file.
 *
 * @returns Number of bytes copied of each range.
 */
export async function copyNoted(
  from: FileHandle,
  to: FileHandle,
  { sizeBytes, signal }: { readonly sizeBytes: number; readonly signal?: AbortSignal | undefined },
): Promise<Uint32Array> {
  const noted = await readNotes(from, sizeBytes);
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (const [index, { start }] of [...cutIntoRanges(sizeBytes)].entries()) {
    const end = start + (noted[index] ?? 0);
    let position = start;
    while (position < end) {
      signal?.throwIfAborted();
      const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, end - position), position);
      if (bytesRead === 0) break;
      await writeAll(to, buffer.subarray(0, bytesRead), position);
      position += bytesRead;
    }
    noted[index] = position - start;
    // Noted after the bytes are written.
    await writeNote(to, sizeBytes, { index, done: position - start });
  }
  return noted;
}

export async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.length;) {
    const rest = chunk.length - written;
    const { bytesWritten } = await handle.write(chunk, written, rest, position + written);
    written += bytesWritten;
  }
}
