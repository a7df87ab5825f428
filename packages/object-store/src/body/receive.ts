import type { IncomingMessage } from 'node:http';
import { S3Error } from '../errors.ts';

/** The client went away in the middle of its body: nobody is left to be answered. */
export class ClientGone extends Error {
  constructor() {
    super('The client closed the connection before its request was complete.');
    this.name = 'ClientGone';
  }
}

interface ReceiveOptions {
  /** Longest wait for the next bytes, in ms. */
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}

/**
 * The body as it comes off the wire, pulled only as fast as it is consumed. Unlike the request's own iterator it
 * leaves the connection open when it stops early, so that the refusal can still be sent.
 * @throws S3Error RequestTimeout after a silence, ServiceUnavailable on abort
 * @throws ClientGone
 */
export async function* receive(
  incoming: IncomingMessage,
  { stallTimeoutMs, signal, onBytes }: ReceiveOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let wake: (() => void) | undefined;
  let stalled = false;
  const notify = (): void => wake?.();
  const timer = setTimeout(() => {
    stalled = true;
    notify();
  }, stallTimeoutMs);
  incoming.on('readable', notify).on('end', notify).on('close', notify).on('error', notify);
  signal.addEventListener('abort', notify);
  try {
    for (;;) {
      if (signal.aborted) throw new S3Error('ServiceUnavailable');
      const chunk = incoming.read() as Buffer | null;
      if (chunk !== null) {
        onBytes(chunk.length);
        yield chunk;
        // The silence is the client's only while somebody listens.
        stalled = false;
        timer.refresh();
        continue;
      }
      if (incoming.readableEnded) return;
      if (incoming.destroyed) throw new ClientGone();
      if (stalled) throw new S3Error('RequestTimeout');
      await new Promise<void>((resolve) => (wake = resolve));
      wake = undefined;
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', notify);
    incoming.off('readable', notify).off('end', notify).off('close', notify);
    // The error listener stays: a connection that fails later must not become an uncaught exception.
  }
}
