import type { Operation } from '../operation.ts';
import { startReading } from '../request/read-object.ts';
import type { OpenObject } from '../storage/bucket.ts';
import { readObjectBytes, type ByteRange } from '../storage/object-bytes.ts';

/** Releases the object when the bytes are sent or the client disconnects. */
async function* readAndRelease(
  object: OpenObject,
  range: ByteRange,
): AsyncGenerator<Buffer, void, undefined> {
  using held = object;
  yield* readObjectBytes(held.manifest.parts, range, held.pin);
}

export const getObject: Operation = async (request, context) => {
  const { object, range, status, headers } = await startReading(request, context);
  return { status, headers, body: { sizeBytes: range.sizeBytes, chunks: readAndRelease(object, range) } };
};
