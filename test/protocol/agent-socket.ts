import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { type ServerMessage, decodeServerMessage } from '@backhaul/protocol';
import { type ClientOptions, WebSocket } from 'ws';

/** Time limit for anything that a server must do immediately. */
const DEADLINE_MS = 20_000;

export type Action = ServerMessage['action'];
export type ServerMessageOf<Name extends Action> = Extract<ServerMessage, { action: Name }>;

export interface Refusal {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface UpgradeRequest {
  readonly url: string;
  /** If undefined, the header is omitted. */
  readonly authorization?: string | undefined;
  /** Default: `backhaul.v1`. */
  readonly subprotocols?: readonly string[];
  readonly options?: ClientOptions;
}

/**
 * A WebSocket without protocol logic: sends the given messages and stores received ones. Everything the server sends
 * must be a message of the protocol; otherwise the test that reads it fails.
 */
export class AgentSocket {
  readonly webSocket: WebSocket;
  readonly #closed: Promise<number>;
  readonly #heard: ServerMessage[] = [];
  readonly #wake = new EventTarget();
  #broken: Error | undefined;

  private constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#closed = promise;
    webSocket.on('message', (data, isBinary) => this.#onFrame(data as Buffer, isBinary));
    webSocket.on('close', (code) => {
      resolve(code);
      this.#wake.dispatchEvent(new Event('change'));
    });
    // A reset also produces `close` with 1006.
    webSocket.on('error', () => undefined);
  }

  /** @returns the open socket, or the HTTP response that refused it. */
  static async open(request: UpgradeRequest): Promise<AgentSocket | Refusal> {
    const { url, authorization, subprotocols = ['backhaul.v1'], options } = request;
    const webSocket = new WebSocket(url, [...subprotocols], {
      perMessageDeflate: false,
      headers: authorization === undefined ? {} : { authorization },
      handshakeTimeout: DEADLINE_MS,
      ...options,
    });
    const { promise, resolve, reject } = Promise.withResolvers<AgentSocket | Refusal>();
    // The constructor adds its listeners before the first frame can arrive.
    const socket = new AgentSocket(webSocket);
    webSocket.once('open', () => resolve(socket));
    webSocket.once('error', reject);
    webSocket.once('unexpected-response', (_request, response) => {
      readRefusal(response).then(resolve, reject);
    });
    return promise;
  }

  /** Received messages that no test has taken, oldest first. */
  get unread(): readonly ServerMessage[] {
    return this.#heard;
  }

  get isOpen(): boolean {
    return this.webSocket.readyState === WebSocket.OPEN;
  }

  /** Sends a message in the document's notation, even an invalid one. */
  send(message: Readonly<Record<string, unknown>>): void {
    this.sendRaw(JSON.stringify(message));
  }

  sendRaw(frame: string | Buffer, options: { binary?: boolean } = {}): void {
    this.webSocket.send(frame, { binary: options.binary ?? false });
  }

  /** Waits for an action that `matches` and removes it from the received messages. Others stay. */
  async next<Name extends Action>(
    action: Name,
    matches: (message: ServerMessageOf<Name>) => boolean = () => true,
  ): Promise<ServerMessageOf<Name>> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    for (;;) {
      const found = this.#take(action, matches);
      if (found !== undefined) return found;
      if (this.#broken !== undefined) throw this.#broken;
      const heard = this.#heard.map((message) => message.action).join(', ');
      if (this.webSocket.readyState === WebSocket.CLOSED)
        throw new Error(`closed before ${action}; heard: ${heard}`);
      await once(this.#wake, 'change', { signal }).catch((cause: unknown) => {
        throw new Error(`no ${action} came within ${DEADLINE_MS} ms; heard: ${heard}`, { cause });
      });
    }
  }

  /**
   * Waits until the server has read everything sent so far: it responds to an unknown message. Effects of messages
   * about an upload may still be in progress then; use `Pull.settle` for those.
   */
  async settle(): Promise<void> {
    this.send({ status: 'are-you-there' });
    await this.next('error');
  }

  /** Waits until the server has closed the connection. */
  async closeCode(): Promise<number> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`still open after ${DEADLINE_MS} ms`)), DEADLINE_MS);
    return await Promise.race([this.#closed, promise]).finally(() => clearTimeout(timer));
  }

  async close(): Promise<void> {
    this.webSocket.resume();
    this.webSocket.close();
    const timer = setTimeout(() => this.webSocket.terminate(), 5000);
    await this.#closed;
    clearTimeout(timer);
  }

  #take<Name extends Action>(
    action: Name,
    matches: (message: ServerMessageOf<Name>) => boolean,
  ): ServerMessageOf<Name> | undefined {
    const isMeant = (message: ServerMessage): message is ServerMessageOf<Name> =>
      message.action === action && matches(message as ServerMessageOf<Name>);
    const found = this.#heard.find(isMeant);
    if (found !== undefined) this.#heard.splice(this.#heard.indexOf(found), 1);
    return found;
  }

  #onFrame(data: Buffer, isBinary: boolean): void {
    const text = data.toString('utf8');
    const decoded = decodeServerMessage(text);
    if (isBinary) this.#broken = new Error('the server sent a binary frame');
    else if (!decoded.ok) this.#broken = new Error(`the server sent what is no message: ${decoded.problem}`);
    else this.#heard.push(decoded.message);
    this.#wake.dispatchEvent(new Event('change'));
  }
}

async function readRefusal(response: IncomingMessage): Promise<Refusal> {
  let body = '';
  response.setEncoding('utf8');
  for await (const text of response) body += String(text);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}
