import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { ConnectionLost } from './connection-lost.ts';

/** The store's response: its head, and a body that is not read yet. */
export class StoreAnswer {
  readonly status: number;
  readonly statusMessage: string;
  /** Alternating names and values, as received. */
  readonly rawHeaders: readonly string[];
  readonly stream: IncomingMessage;
  #read: Buffer | undefined;

  constructor(incoming: IncomingMessage) {
    this.status = incoming.statusCode ?? 0;
    this.statusMessage = incoming.statusMessage ?? '';
    this.rawHeaders = incoming.rawHeaders;
    this.stream = incoming;
    // Readers get the error of a broken connection, but there may be no reader yet.
    incoming.on('error', () => undefined);
  }

  get succeeded(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** The body, if it has been read. */
  get read(): Buffer | undefined {
    return this.#read;
  }

  /**
   * Reads the whole body. Once it has arrived, the store has completed the request.
   *
   * @throws ConnectionLost
   */
  async bytes(): Promise<Buffer> {
    try {
      return (this.#read ??= await buffer(this.stream));
    } catch (error) {
      throw new ConnectionLost('the store broke off its answer', { cause: error });
    }
  }

  /** @throws ConnectionLost */
  async text(): Promise<string> {
    return (await this.bytes()).toString('utf8');
  }
}

/** Returns raw headers with the changed names removed and their new values appended. */
export function changedHeaders(
  rawHeaders: readonly string[],
  changes: Readonly<Record<string, string | undefined>>,
): string[] {
  const changed = new Map(Object.entries(changes).map(([name, value]) => [name.toLowerCase(), value]));
  const kept: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (!changed.has(name.toLowerCase())) kept.push(name, value);
  }
  for (const [name, value] of Object.entries(changes)) if (value !== undefined) kept.push(name, value);
  return kept;
}
