import { createHash } from 'node:crypto';
import { SLICE_BYTES } from '../file/buffer-pool.ts';
import { statFileSync } from '../file/file-state.ts';
import { CallCounter } from './call-counter.ts';
import type { FileToHash, HashReply, HashRequest } from './hash-messages.ts';
import { hashSlices } from './hash-slices.ts';
import { readBlocking, ShortFile } from './read-blocking.ts';

/** One buffer per thread, so that it stays in the CPU cache. */
const buffer = Buffer.allocUnsafeSlow(SLICE_BYTES);

/** Handles the requests for one file, one after the other. */
export function serveHashRequests({ fd, path, port, calls: shared }: FileToHash): void {
  const calls = new CallCounter(shared);
  const wholeFile = createHash('sha256');
  const stop = new AbortController();
  let last = Promise.resolve();

  const handle = async (request: Exclude<HashRequest, { type: 'end' }>): Promise<HashReply> => {
    if (request.type === 'digest') return { digest: wholeFile.digest('hex') };
    const { range, mode, inDigest } = request;
    const slices = readBlocking(fd, range, { buffer, calls, signal: stop.signal });
    const checksums = await hashSlices(slices, mode, inDigest ? wholeFile : null);
    return { checksums, state: calls.count(() => statFileSync(fd, path)) };
  };
  port.on('message', (request: HashRequest) => {
    if (request.type === 'end') {
      stop.abort();
      void last.then(() => {
        port.postMessage({ ended: true } satisfies HashReply);
        port.close();
      });
      return;
    }
    last = last.then(async () => {
      if (!stop.signal.aborted) port.postMessage(await handle(request).catch(failure));
    });
  });
}

function failure(error: unknown): HashReply {
  if (error instanceof ShortFile) return { failed: 'short' };
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return { failed: 'read', code, message: error instanceof Error ? error.message : String(error) };
}
