import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import {
  type AgentClaims,
  BackhaulError,
  CONNECT_PATH,
  MAX_FRAME_BYTES,
  SUBPROTOCOL,
  problemOf,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import { WebSocketServer } from 'ws';
import { bearerToken } from '../auth/bearer-token.ts';
import type { Log } from '../domain/ports/log.ts';
import type { TransferContext } from '../domain/transfer-context.ts';
import { AgentConnection } from './agent-connection.ts';

/** Upgrades being checked at the same time; more are told to come back. */
const MAX_PENDING_UPGRADES = 512;
const RETRY_AFTER_SECONDS = 5;

export interface GatewayOptions {
  readonly context: TransferContext;
  /** @throws BackhaulError `unauthorized` */
  readonly verifyAgent: (token: string) => Promise<AgentClaims>;
  readonly log: Log & { child(bindings: object): Log };
  readonly nodeId: string;
  readonly serverVersion: string;
  /** Agents must show a certificate of the configured authority (`TLS_CLIENT_CA_FILE`). */
  readonly requireClientCertificate: boolean;
}

/** Takes agents' connections: who they are is settled from the token before the upgrade, never after. */
export class AgentGateway {
  readonly #options: GatewayOptions;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    handleProtocols: () => SUBPROTOCOL,
  });
  readonly #connections = new Set<AgentConnection>();
  #pending = 0;
  readonly #draining = new AbortController();

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  attach(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      // Node leaves a socket without a listener after an upgrade; a reset must not end the process.
      socket.on('error', () => socket.destroy());
      this.#upgrade(request, socket, head).catch((error: unknown) => {
        const refusal = error instanceof BackhaulError ? error : new BackhaulError('internal_error');
        if (refusal !== error) this.#options.log.error({ err: error }, 'upgrade failed');
        refuse(socket, refusal);
      });
    });
  }

  /** Closes every connection with 1001, "going away", and waits for their sessions to end. */
  async close(): Promise<void> {
    this.#draining.abort();
    const connections = [...this.#connections];
    for (const connection of connections) connection.close(1001, 'the server is shutting down');
    await Promise.all(connections.map((connection) => connection.closed));
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (this.#draining.signal.aborted) throw new BackhaulError('shutting_down');
    if (this.#pending >= MAX_PENDING_UPGRADES) throw new BackhaulError('too_many_requests');
    this.#pending += 1;
    try {
      checkRequest(request);
      if (this.#options.requireClientCertificate) checkCertificate(request);
      const claims = await this.#options.verifyAgent(bearerToken(request.headers, 'The upgrade'));
      if (socket.destroyed) return;
      // It may have begun while the token was being checked.
      if (this.#draining.signal.aborted) throw new BackhaulError('shutting_down');
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const sessionId = uuidv7();
        const log = this.#options.log.child({ clientId: claims.sub, sessionId });
        const connection = new AgentConnection(webSocket, this.#options.context, {
          clientId: claims.sub,
          sessionId,
          nodeId: this.#options.nodeId,
          serverVersion: this.#options.serverVersion,
          tokenExpiresAt: claims.exp * 1000,
          draining: this.#draining.signal,
          log,
        });
        this.#connections.add(connection);
        connection.closed
          .then(() => this.#connections.delete(connection))
          .catch((error: unknown) => log.error({ err: error }, 'connection not closed'));
      });
    } finally {
      this.#pending -= 1;
    }
  }
}

function checkRequest(request: IncomingMessage): void {
  const path = request.url?.split('?', 1)[0];
  if (path !== CONNECT_PATH) {
    throw new BackhaulError('not_found', `Agents connect to ${CONNECT_PATH}.`);
  }
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
  if (!offered.includes(SUBPROTOCOL)) {
    throw new BackhaulError('invalid_request', `The WebSocket subprotocol must be ${SUBPROTOCOL}.`);
  }
}

function checkCertificate({ socket }: IncomingMessage): void {
  if (socket instanceof TLSSocket && socket.authorized) return;
  throw new BackhaulError(
    'unauthorized',
    'Agents must show a client certificate that an authority in TLS_CLIENT_CA_FILE has signed.',
  );
}

/** Answers as plain HTTP: the connection never becomes a WebSocket. */
function refuse(socket: Duplex, error: BackhaulError): void {
  if (socket.destroyed) return;
  const problem = problemOf(error);
  const httpStatus = problem.status;
  const body = JSON.stringify(problem);
  const extra =
    httpStatus === 401
      ? 'WWW-Authenticate: Bearer\r\n'
      : httpStatus === 429 || httpStatus === 503
        ? `Retry-After: ${RETRY_AFTER_SECONDS}\r\n`
        : '';
  socket.end(
    `HTTP/1.1 ${httpStatus} ${STATUS_CODES[httpStatus] ?? ''}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${extra}Connection: close\r\n\r\n${body}`,
  );
}
