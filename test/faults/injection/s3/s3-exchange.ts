import { once } from 'node:events';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { ConnectionLost } from './connection-lost.ts';
import type { S3Call } from './s3-call.ts';
import { StoreAnswer, changedHeaders } from './store-answer.ts';
import { type StoreConnection, openRequest } from './store-connection.ts';

interface ExchangeParts {
  readonly call: S3Call;
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: StoreConnection;
  readonly target: URL;
  /** Whether the client waits for `100 Continue` before it sends its body. */
  readonly awaitsContinue: boolean;
}

/** A response sent instead of the store's. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * One request and its response under a fault's control: the fault can skip, delay or change each step of a proxy. All
 * methods throw {@link ConnectionLost} if the client or the store disconnects.
 */
export class S3Exchange {
  readonly call: S3Call;
  readonly #parts: ExchangeParts;
  readonly #gone = new AbortController();
  #awaitsContinue: boolean;

  constructor(parts: ExchangeParts) {
    this.call = parts.call;
    this.#parts = parts;
    this.#awaitsContinue = parts.awaitsContinue;
    const { incoming, response } = parts;
    // Reads and writes report broken connections.
    incoming.on('error', () => undefined);
    response.on('error', () => undefined);
    response.once('close', () => {
      if (!response.writableFinished) this.#gone.abort();
    });
  }

  /** Headers of the request, with names in lower case. */
  get headers(): IncomingHttpHeaders {
    return this.#parts.incoming.headers;
  }

  /** Query of the request. It may hold a signature: do not log it. */
  get query(): URLSearchParams {
    const { url = '' } = this.#parts.incoming;
    return new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?')) : '');
  }

  /** Aborted if the client disconnects before it has the response. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Forwards the request and the response unchanged. */
  async pass(): Promise<void> {
    await this.relay(await this.forward());
  }

  /**
   * Forwards the request and waits for the head of the response.
   *
   * @param options.pace Awaited before each further piece of the body is read; gets the bytes read so far.
   * @param options.headers Replace the client's headers; replacing signed ones breaks the signature.
   */
  async forward(
    options: {
      pace?: (bytesRead: number) => Promise<void>;
      headers?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<StoreAnswer> {
    const { incoming, connection } = this.#parts;
    const head = this.#head();
    const rawHeaders = changedHeaders(head.rawHeaders, options.headers ?? {});
    const outgoing = connection.request({ ...head, rawHeaders });
    const leave = (): void => void outgoing.destroy();
    this.signal.addEventListener('abort', leave, { once: true });
    if (this.signal.aborted) leave();
    outgoing.once('continue', () => this.#continue());
    outgoing.flushHeaders();
    const answer = this.#answerTo(outgoing);
    // This is not awaited: a store may respond before it has read all.
    this.#sendBody(outgoing, options.pace).catch(() => incoming.resume());
    return await answer;
  }

  /** Sends a body from {@link takeBody} on a separate connection, even if the client has disconnected. */
  async deliver(body: Buffer): Promise<StoreAnswer> {
    const outgoing = openRequest(this.#parts.target, this.#head(), false);
    outgoing.end(body);
    return await this.#answerTo(outgoing);
  }

  /** Sends the store's response to the client, optionally with another body or headers. */
  async relay(
    answer: StoreAnswer,
    changes: { body?: Buffer; headers?: Readonly<Record<string, string | undefined>> } = {},
  ): Promise<void> {
    const { response } = this.#parts;
    const headers = changedHeaders(answer.rawHeaders, {
      ...changes.headers,
      ...(changes.body && {
        'Content-Length': String(changes.body.length),
        'Transfer-Encoding': undefined,
      }),
    });
    this.#writeHead(answer.status, answer.statusMessage, headers);
    const body = changes.body ?? answer.read;
    if (body === undefined) await this.#sent(pipeline(answer.stream, response));
    else await this.#end(body);
  }

  /** Responds without the store. */
  async answer({ status, headers = {}, body = '' }: Reply): Promise<void> {
    const bytes = Buffer.from(this.call.method === 'HEAD' ? '' : body);
    const raw = Object.entries({ 'Content-Length': String(bytes.length), ...headers }).flat();
    this.#writeHead(status, undefined, raw);
    await this.#end(bytes);
  }

  /** Reads the whole body into memory. */
  async takeBody(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#body()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async discardBody(): Promise<void> {
    for await (const chunk of this.#body()) void chunk;
  }

  /** Closes the client's connection without a response. */
  drop(): void {
    this.#parts.incoming.socket.destroy();
  }

  /** Sends raw bytes and closes the connection. */
  async breakOff(bytes: Buffer): Promise<void> {
    const { socket } = this.#parts.incoming;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve()).write(bytes, () => socket.destroySoon());
    });
  }

  #head() {
    const { incoming } = this.#parts;
    return { method: this.call.method, path: incoming.url ?? '/', rawHeaders: incoming.rawHeaders };
  }

  #continue(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.#parts.response.writeContinue();
  }

  async *#body(): AsyncGenerator<Buffer, void, undefined> {
    this.#continue();
    yield* this.#receive();
  }

  async *#receive(): AsyncGenerator<Buffer, void, undefined> {
    try {
      for await (const chunk of this.#parts.incoming.iterator({ destroyOnReturn: false })) {
        this.call.requestBytes += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
    } catch (error) {
      throw new ConnectionLost('the client broke off its request', { cause: error });
    }
  }

  async #sendBody(outgoing: ClientRequest, pace?: (bytesRead: number) => Promise<void>): Promise<void> {
    await pace?.(0);
    for await (const chunk of this.#receive()) {
      if (!outgoing.write(chunk)) await writable(outgoing);
      if (outgoing.destroyed) throw new ConnectionLost('the store broke off the request');
      await pace?.(this.call.requestBytes);
    }
    outgoing.end();
  }

  async #answerTo(outgoing: ClientRequest): Promise<StoreAnswer> {
    try {
      const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
      const answer = new StoreAnswer(incoming);
      this.call.storeStatus = answer.status;
      return answer;
    } catch (error) {
      throw new ConnectionLost('the store gave no answer', { cause: error });
    }
  }

  #writeHead(status: number, message: string | undefined, rawHeaders: string[]): void {
    const { response } = this.#parts;
    if (this.signal.aborted) throw new ConnectionLost('the client has gone');
    response.sendDate = false;
    response.writeHead(status, message, rawHeaders);
    this.call.status = status;
  }

  async #end(body: Buffer): Promise<void> {
    const { response } = this.#parts;
    const finished = once(response, 'finish', { signal: this.signal });
    response.end(body);
    await this.#sent(finished);
  }

  async #sent(sending: Promise<unknown>): Promise<void> {
    try {
      await sending;
    } catch (error) {
      throw new ConnectionLost('the answer could not be sent', { cause: error });
    }
  }
}

async function writable(outgoing: ClientRequest): Promise<void> {
  if (outgoing.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done).off('close', done);
      resolve();
    };
    outgoing.on('drain', done).on('close', done);
  });
}
