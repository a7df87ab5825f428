import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  type AgentClaims,
  BackhaulError,
  MAX_FRAME_BYTES,
  type PeerLimits,
  type RefusalReason,
  SUBPROTOCOL,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import { WebSocketServer } from 'ws';
import { bearerToken, type Verified } from '../auth/token-verifier.ts';
import { readSessionToken } from '../auth/token-signing.ts';
import type { Log } from '../domain/ports/log.ts';
import type { TransferContext } from '../domain/agents/handlers/context.ts';
import type { ClientAddresses } from '../http/client-addresses.ts';
import { refuseConnection } from '../http/problem.ts';
import type { UnauthenticatedConnections } from '../http/connection-limits.ts';
import {
  type ClientCertificateMatch,
  requireAgentProtocol,
  requireCertificateOf,
  requireClientCertificate,
} from './upgrade-checks.ts';
import { AgentConnection, type FrameObserver } from './agent-connection.ts';
import { ClientBudgets } from './client-budgets.ts';
import { UpgradeRefusals } from './upgrade-refusals.ts';

/** Maximum number of upgrades checked at the same time; further ones are asked to retry. */
const MAX_PENDING_UPGRADES = 512;

export interface GatewayOptions {
  readonly context: TransferContext;
  /** @throws BackhaulError `unauthorized` */
  readonly verifyAgent: (token: string) => Promise<Verified<AgentClaims>>;
  /** @throws ClientBlocked */
  readonly mustNotBeBlocked: (clientId: string) => Promise<void>;
  readonly connections: UnauthenticatedConnections;
  readonly addresses: ClientAddresses;
  readonly log: Log & { child(bindings: object): Log };
  readonly nodeId: string;
  readonly serverVersion: string;
  /** Required content of agents' certificates (`TLS_CLIENT_CA_FILE`); null if they need none. */
  readonly clientCertificate: ClientCertificateMatch | null;
  /** Maximum cost of each client's frames. */
  readonly frameLimits: PeerLimits;
  readonly observeFrames: FrameObserver;
  readonly onRefused: (reason: RefusalReason) => void;
}

/** Accepts agents' connections: the token identifies them before the upgrade, never after. */
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

  readonly #budgets: ClientBudgets;
  readonly #refusals: UpgradeRefusals;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#budgets = new ClientBudgets(options.frameLimits);
    this.#refusals = new UpgradeRefusals({ log: options.log, count: options.onRefused });
  }

  attach(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      // Node leaves a socket without a listener after an upgrade; a reset must not end the process.
      socket.on('error', destroySocket);
      const known: { clientId?: string } = {};
      const address = this.#options.addresses.of(request);
      this.#options.connections.cameFrom(request.socket, address);
      this.#upgrade({ request, socket, head, address }, known).catch((error: unknown) => {
        refuseConnection(socket, this.#refusals.refused({ request, address }, error, known.clientId));
      });
    });
  }

  /** Closes every connection with 1001, "going away", and waits for their sessions to end. */
  async close(): Promise<void> {
    this.#draining.abort();
    const connections = [...this.#connections];
    for (const connection of connections) connection.close(1001, 'the server is shutting down');
    await Promise.all(connections.map((connection) => connection.closed));
    this.#refusals.close();
  }

  /** @param known Called with the client as soon as its token is verified. */
  async #upgrade(
    {
      request,
      socket,
      head,
      address,
    }: { request: IncomingMessage; socket: Duplex; head: Buffer; address: string },
    known: { clientId?: string },
  ): Promise<void> {
    if (this.#draining.signal.aborted) throw new BackhaulError('shutting_down');
    if (this.#pending >= MAX_PENDING_UPGRADES) throw new BackhaulError('too_many_requests');
    this.#pending += 1;
    try {
      requireAgentProtocol(request);
      const { clientCertificate } = this.#options;
      if (clientCertificate !== null) requireClientCertificate(request);
      const bearer = bearerToken(request.headers, 'The upgrade');
      const claims = await this.#options.verifyAgent(bearer);
      known.clientId = claims.sub;
      this.#options.connections.authenticated(request.socket);
      if (clientCertificate === 'client_id') requireCertificateOf(claims.sub, request);
      await this.#options.mustNotBeBlocked(claims.sub);
      const token = readSessionToken(bearer, claims);
      await this.#options.context.renewal.mustNotBeReplaced(claims.sub, token.id);
      const seconds = Math.ceil(this.#budgets.banRemainingMs(claims.sub) / 1000);
      if (seconds > 0) {
        throw new BackhaulError(
          'too_many_requests',
          `Client ${claims.sub} was disconnected several times for protocol violations, and may reconnect in ${seconds} s. Update the agent or the server, or raise the server's setting AGENT_REFUSALS_PER_MINUTE.`,
          { reason: 'abuse' },
        );
      }
      if (socket.destroyed) return;
      // It may have started while the token was being verified.
      if (this.#draining.signal.aborted) throw new BackhaulError('shutting_down');
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const sessionId = uuidv7();
        const log = this.#options.log.child({ client_id: claims.sub, session_id: sessionId });
        const account = this.#budgets.open(claims.sub);
        const connection = new AgentConnection(webSocket, this.#options.context, {
          clientId: claims.sub,
          sessionId,
          nodeId: this.#options.nodeId,
          serverVersion: this.#options.serverVersion,
          remoteAddress: address,
          token,
          draining: this.#draining.signal,
          account,
          observe: this.#options.observeFrames,
          log,
        });
        this.#connections.add(connection);
        connection.closed
          .then(() => {
            this.#connections.delete(connection);
            this.#budgets.close(account);
          })
          .catch((error: unknown) => log.error({ err: error }, 'connection not closed'));
      });
    } finally {
      this.#pending -= 1;
    }
  }
}

/**
 * Created outside the upgrade: this listener lives as long as the connection, and would keep the upgrade's request
 * alive.
 */
function destroySocket(this: Duplex): void {
  this.destroy();
}
