import { createHash } from 'node:crypto';
import { SLICE_BYTES } from '../file/buffer-pool.ts';
import { lookAtSync } from '../file/look.ts';
import { CallCounter } from './call-counter.ts';
import type { FileToHash, HashReply, HashRequest } from './hash-messages.ts';
import { hashSlices } from './hash-slices.ts';
import { readWaiting, ShortFile } from './read-waiting.ts';

/** One for the thread, so that it stays in the processor's cache. */
const buffer = Buffer.allocUnsafeSlow(SLICE_BYTES);

/** Answers what is asked about one file, one request after the other. */
export function answerHashRequests({ fd, place, port, calls: shared }: FileToHash): void {
  const calls = new CallCounter(shared);
  const wholeFile = createHash('sha256');
  const stop = new AbortController();
  let last = Promise.resolve();

  const answer = async (request: Exclude<HashRequest, { ask: 'end' }>): Promise<HashReply> => {
    if (request.ask === 'digest') return { digest: wholeFile.digest('hex') };
    const { range, mode, inDigest } = request;
    const slices = readWaiting(fd, range, { buffer, calls, signal: stop.signal });
    const checksums = await hashSlices(slices, mode, inDigest ? wholeFile : null);
    return { checksums, look: calls.count(() => lookAtSync(fd, place)) };
  };
  port.on('message', (request: HashRequest) => {
    if (request.ask === 'end') {
      stop.abort();
      void last.then(() => {
        port.postMessage({ ended: true } satisfies HashReply);
        port.close();
      });
      return;
    }
    last = last.then(async () => {
      if (!stop.signal.aborted) port.postMessage(await answer(request).catch(failure));
    });
  });
}

function failure(error: unknown): HashReply {
  if (error instanceof ShortFile) return { failed: 'short' };
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return { failed: 'read', code, message: error instanceof Error ? error.message : String(error) };
}
