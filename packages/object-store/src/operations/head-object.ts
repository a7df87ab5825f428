import type { Operation } from '../operation.ts';
import { startReading } from '../request/read-object.ts';

export const headObject: Operation = async (request, context) => {
  const { object, range, status, headers } = await startReading(request, context);
  object[Symbol.dispose]();
  return { status, headers, body: { sizeBytes: range.sizeBytes, chunks: undefined } };
};
