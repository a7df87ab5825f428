import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type AgentMessage,
  decodeAgentMessage,
  type ServerMessageInput,
  SUBPROTOCOL,
} from '@backhaul/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import { uuidv7 } from '../harness/agent/uuid.ts';

export type MessageOf<Status extends AgentMessage['status']> = Extract<AgentMessage, { status: Status }>;

interface FakeServerOptions {
  /** Rejects an upgrade with the returned status; null accepts it. */
  readonly refuse?: (
    request: IncomingMessage,
  ) => { status: number; headers?: string; problem?: object } | null;
}

/** Server side of the protocol; sends only what a test requests. */
export class FakeServer {
  readonly url: string;
  readonly upgrades: IncomingMessage[] = [];
  readonly #server: WebSocketServer;
  readonly #sessions: FakeSession[] = [];
  readonly #waiting: Array<(session: FakeSession) => void> = [];

  private constructor(server: WebSocketServer) {
    this.#server = server;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket, request) => {
      this.upgrades.push(request);
      const session = new FakeSession(socket);
      const waiter = this.#waiting.shift();
      if (waiter === undefined) this.#sessions.push(session);
      else waiter(session);
    });
  }

  static async start({ refuse }: FakeServerOptions = {}): Promise<FakeServer> {
    const server = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      path: '/ws/connect',
      handleProtocols: (offered) => offered.has(SUBPROTOCOL) && SUBPROTOCOL,
      verifyClient: ({ req }, decide) => {
        const refusal = refuse?.(req) ?? null;
        if (refusal === null) decide(true);
        else
          decide(
            false,
            refusal.status,
            refusal.problem === undefined ? '' : JSON.stringify(refusal.problem),
            {
              ...(refusal.headers !== undefined && { 'Retry-After': refusal.headers }),
              ...(refusal.problem !== undefined && { 'Content-Type': 'application/problem+json' }),
            },
          );
      },
    });
    await once(server, 'listening');
    return new FakeServer(server);
  }

  /** Returns the next connection, or an earlier one that has not been accepted. The timeout allows for the start of a program. */
  async accept(): Promise<FakeSession> {
    const session = this.#sessions.shift();
    if (session !== undefined) return session;
    return within(30_000, 'a connection', new Promise((resolve) => this.#waiting.push(resolve)));
  }

  /** Accepts a connection, reads `hello` and sends `welcome`. */
  async acceptAndWelcome(decision: 'continue' | 'drop' = 'continue'): Promise<FakeSession> {
    const session = await this.accept();
    const hello = await session.next('hello');
    session.welcome(hello.running.map((upload) => ({ ...upload, verdict: decision })));
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** One agent's connection, on the server side. */
export class FakeSession {
  readonly socket: WebSocket;
  /** All messages of the agent, in order. */
  readonly received: AgentMessage[] = [];
  readonly #unread: AgentMessage[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data) => {
      const decoded = decodeAgentMessage((data as Buffer).toString('utf8'));
      if (!decoded.ok) throw new Error(`the agent broke the protocol: ${decoded.problem}`);
      this.received.push(decoded.message);
      this.#unread.push(decoded.message);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    });
  }

  send(message: ServerMessageInput): void {
    this.socket.send(JSON.stringify(message));
  }

  welcome(
    uploads: Extract<ServerMessageInput, { action: 'welcome' }>['uploads'] = [],
    options: { progress_interval_ms?: number } = {},
  ): void {
    this.send({
      action: 'welcome',
      server_version: 'fake',
      session_id: uuidv7(),
      epoch: 1,
      heartbeat_interval_ms: 1000,
      dead_after_ms: 30_000,
      ...options,
      uploads,
    });
  }

  /** Removes and returns the next message of one of these kinds; other messages stay for later calls. */
  async next<Status extends AgentMessage['status']>(...kinds: Status[]): Promise<MessageOf<Status>> {
    const find = async (): Promise<MessageOf<Status>> => {
      for (;;) {
        const at = this.#unread.findIndex(({ status }) => (kinds as string[]).includes(status));
        if (at >= 0) return this.#unread.splice(at, 1)[0] as MessageOf<Status>;
        await this.#wake.promise;
      }
    };
    return within(15_000, kinds.join(' or '), find());
  }

  /** Resolves once the agent has handled all earlier messages. */
  async settled(): Promise<void> {
    this.send({ action: 'health_check', command_id: uuidv7() });
    await this.next('result');
  }

  async closed(): Promise<number> {
    const [code] = (await within(5000, 'the close', once(this.socket, 'close'))) as [number];
    return code;
  }
}

/** Waits with a timeout whose error names what a hanging test was waiting for. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
