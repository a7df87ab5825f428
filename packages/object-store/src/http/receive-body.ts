import type { IncomingMessage } from 'node:http';
import { S3Error } from '../errors.ts';

/** The client disconnected within its body, so no response can be sent. */
export class ClientDisconnected extends Error {
  constructor() {
    super('The client closed the connection before its request was complete.');
    this.name = 'ClientDisconnected';
  }
}

/** Maximum bytes buffered for a slow consumer. */
const MAX_AHEAD_BYTES = 256 * 1024;

interface ReceiveOptions {
  /** Maximum time to wait for the next bytes, in ms. */
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}

/**
 * Yields the body as it arrives, at most 256 KiB ahead of the consumer. Unlike the iterator of the request, it leaves
 * the connection open when it ends early, so that an error response can still be sent.
 * @throws S3Error RequestTimeout after a time without data, ServiceUnavailable on abort
 * @throws ClientDisconnected
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
        // Time that the consumer took does not count as silence of the client.
        stalled = false;
        timer.refresh();
        continue;
      }
      if (incoming.readableEnded) return;
      if (incoming.destroyed) throw new ClientDisconnected();
      if (stalled) throw new S3Error('RequestTimeout');
      incoming.resume();
      await new Promise<void>((resolve) => (wake = resolve));
      wake = undefined;
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', notify);
    incoming.pause().off('data', take).off('end', notify).off('close', notify);
    // The error listener remains: a later error of the connection must not be an uncaught exception.
  }
}
