import type { IncomingMessage } from 'node:http';
import { S3Error } from '../errors.ts';

/** The client went away in the middle of its body: nobody is left to be answered. */
export class ClientGone extends Error {
  constructor() {
    super('The client closed the connection before its request was complete.');
    this.name = 'ClientGone';
  }
}

/** Held for who is slower than the network. */
const MAX_AHEAD_BYTES = 256 * 1024;

interface ReceiveOptions {
  /** Longest wait for the next bytes, in ms. */
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}

/**
 * The body as it comes off the wire, at most 256 KiB ahead of who consumes it. Unlike the request's own iterator it
 * leaves the connection open when it stops early, so that the refusal can still be sent.
 * @throws S3Error RequestTimeout after a silence, ServiceUnavailable on abort
 * @throws ClientGone
 */
export async function* receive(
  incoming: IncomingMessage,
  { stallTimeoutMs, signal, onBytes }: ReceiveOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const chunks: Buffer[] = [];
  let bytesAhead = 0;
  let wake: (() => void) | undefined;
  let stalled = false;
  const notify = (): void => wake?.();
  const timer = setTimeout(() => {
    stalled = true;
    notify();
  }, stallTimeoutMs);
  const take = (chunk: Buffer): void => {
    chunks.push(chunk);
    bytesAhead += chunk.length;
    onBytes(chunk.length);
    if (bytesAhead >= MAX_AHEAD_BYTES) incoming.pause();
    notify();
  };
  incoming.on('data', take).on('end', notify).on('close', notify).on('error', notify);
  signal.addEventListener('abort', notify);
  try {
    for (;;) {
      if (signal.aborted) throw new S3Error('ServiceUnavailable');
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        bytesAhead -= chunk.length;
        yield chunk;
        // The silence is the client's only while somebody listens.
        stalled = false;
        timer.refresh();
        continue;
      }
      if (incoming.readableEnded) return;
      if (incoming.destroyed) throw new ClientGone();
      if (stalled) throw new S3Error('RequestTimeout');
      incoming.resume();
      await new Promise<void>((resolve) => (wake = resolve));
      wake = undefined;
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', notify);
    incoming.pause().off('data', take).off('end', notify).off('close', notify);
    // The error listener stays: a connection that fails later must not become an uncaught exception.
  }
}
