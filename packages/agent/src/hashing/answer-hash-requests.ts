import { createHash } from 'node:crypto';
import { lookAtSync } from '../file/look.ts';
import type { FileToHash, HashReply, HashRequest } from './hash-messages.ts';
import { hashPart, ShortFile } from './hash-part.ts';

/** One for the thread: it has one file at a time, and stays in the processor's cache. */
const buffer = Buffer.allocUnsafeSlow(1024 * 1024);

/** Answers what is asked about one file, one request after the other. */
export function answerHashRequests({ fd, place, port }: FileToHash): void {
  const wholeFile = createHash('sha256');
  const stop = new AbortController();
  let last = Promise.resolve();

  const answer = async (request: Exclude<HashRequest, { ask: 'end' }>): Promise<HashReply> => {
    if (request.ask === 'digest') return { digest: wholeFile.digest('hex') };
    const { range, mode, inDigest } = request;
    const options = { mode, wholeFile: inDigest ? wholeFile : null, buffer, signal: stop.signal };
    return { checksums: await hashPart(fd, range, options), look: lookAtSync(fd, place) };
  };
  port.on('message', (request: HashRequest) => {
    if (request.ask === 'end') {
      stop.abort();
      void last.then(() => port.close());
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
