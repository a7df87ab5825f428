import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { ConnectionLost } from './connection-lost.ts';

/** What the store answered: its head, and a body that has not been read yet. */
export class StoreAnswer {
  readonly status: number;
  readonly statusMessage: string;
  /** Names and values in turn, as received. */
  readonly rawHeaders: readonly string[];
  readonly stream: IncomingMessage;
  #read: Buffer | undefined;

  constructor(incoming: IncomingMessage) {
    this.status = incoming.statusCode ?? 0;
    this.statusMessage = incoming.statusMessage ?? '';
    this.rawHeaders = incoming.rawHeaders;
    this.stream = incoming;
    // A connection that breaks is told to whoever reads; nobody may be reading just then.
    incoming.on('error', () => undefined);
  }

  get succeeded(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** The body, if somebody waited for it. */
  get read(): Buffer | undefined {
    return this.#read;
  }

  /**
   * The whole body. Once it is there, the store has done all that was asked.
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

/** A list of raw headers without some names, and with others at its end. */
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
