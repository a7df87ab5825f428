import { BackhaulError, closeCodes, type UploadLimits } from '@backhaul/protocol';
import type { Clock } from '../ports/clock.ts';
import type { ClientFilter, RequestOrigin, Store } from '../ports/store.ts';
import { orderedLimits } from '../uploads/create.ts';
import type { Upload } from '../uploads/upload.ts';
import { assertTakesLimits, type Client, type ClientBlock, ClientBlocked } from './client.ts';
import type { SessionRegistry } from './session.ts';
import type { SharedTokens } from './shared-tokens.ts';

/** Number of uploads in a client's status; its queue may have thousands. `GET /uploads` pages through all of them. */
const MAX_LISTED = 100;

interface ClientServiceDeps {
  readonly store: Store;
  readonly sessions: SessionRegistry;
  readonly sharedTokens: SharedTokens;
  readonly clock: Clock;
}

/** Operators' actions on clients. */
export class ClientService {
  readonly #deps: ClientServiceDeps;

  constructor(deps: ClientServiceDeps) {
    this.#deps = deps;
  }

  /** @throws BackhaulError `client_not_found` */
  async get(clientId: string): Promise<Client> {
    const client = await this.#deps.store.getClient(clientId);
    if (client === undefined) {
      throw new BackhaulError('client_not_found', `No agent has ever connected as ${clientId}.`);
    }
    return client;
  }

  /**
   * Rejects for an unknown client. A client connected to this node is known without a database lookup, unless another
   * node has just removed it.
   *
   * @throws BackhaulError `client_not_found`
   */
  async mustBeKnown(clientId: string): Promise<void> {
    if (this.#deps.sessions.get(clientId) === undefined) await this.get(clientId);
  }

  /** @throws BackhaulError `client_not_found` */
  async status(clientId: string): Promise<{
    client: Client;
    /** At most {@link MAX_LISTED}; running ones first. */
    activeUploads: Upload[];
    activeCount: number;
    lastUpload: Upload | undefined;
    /** How often machines that share its token have alternated. */
    duplicateConnections: number;
  }> {
    const client = await this.get(clientId);
    const [activeUploads, activeCount, lastUpload] = await Promise.all([
      this.#deps.store.listActiveUploads(clientId, { limit: MAX_LISTED }),
      this.#deps.store.countUnfinished({ clientId }),
      this.#deps.store.lastUpload(clientId),
    ]);
    const duplicateConnections = this.#deps.sharedTokens.duplicatesOf(clientId);
    return { client, activeUploads, activeCount, lastUpload, duplicateConnections };
  }

  /** When it disconnected, milliseconds since the epoch; undefined while it is connected. */
  async disconnectedSince(clientId: string): Promise<number | undefined> {
    if (this.#deps.sessions.get(clientId) !== undefined) return undefined;
    const client = await this.#deps.store.getClient(clientId);
    // A session before its welcome.
    return client?.connectedSince === null ? client.lastSeenAt : undefined;
  }

  list(filter: ClientFilter): Promise<Client[]> {
    return this.#deps.store.listClients(filter);
  }

  /**
   * Sets the limits of each of its uploads, from their next attempts on.
   *
   * @throws BackhaulError `client_not_found`; `not_supported` for an agent that would ignore them.
   */
  async limit(
    clientId: string,
    { limits, by, from }: { limits: UploadLimits; by: string } & RequestOrigin,
  ): Promise<Client> {
    const client = await this.get(clientId);
    const ordered = orderedLimits(limits);
    if (ordered !== null) assertTakesLimits(client);
    await this.#deps.store.setClientLimits(clientId, {
      limits: ordered,
      audit: {
        at: this.#deps.clock.now(),
        actor: by,
        address: from,
        action: 'client.limit',
        clientId,
        uploadId: null,
        detail: { limits: ordered },
      },
    });
    return this.get(clientId);
  }

  /**
   * Removes a client and closes its connection. Its uploads stay; it is known again once it reconnects.
   *
   * @throws BackhaulError `client_not_found`; `client_busy` while it has unfinished uploads.
   */
  async forget(clientId: string, by: string, { from }: RequestOrigin = {}): Promise<void> {
    await this.get(clientId);
    const active = await this.#deps.store.countUnfinished({ clientId });
    if (active > 0) {
      throw new BackhaulError(
        'client_busy',
        `Client ${clientId} has ${active} unfinished uploads; cancel them first.`,
      );
    }
    await this.#deps.store.deleteClient(clientId, {
      at: this.#deps.clock.now(),
      actor: by,
      address: from,
      action: 'client.forget',
      clientId,
      uploadId: null,
      detail: {},
    });
    const session = this.#deps.sessions.newest(clientId);
    if (session === undefined) return;
    // Immediately: its socket may take seconds to close.
    this.#deps.sessions.remove(session);
    session.close(closeCodes.clientForgotten, 'this client was removed by an operator');
  }

  /** For the upgrade. @throws ClientBlocked */
  async mustNotBeBlocked(clientId: string): Promise<void> {
    const block = await this.#deps.store.getBlock(clientId);
    if (block !== undefined) throw new ClientBlocked(clientId, block);
  }

  /**
   * Blocks a client until it is unblocked: its connection is closed immediately and new ones are refused. Its uploads
   * wait, and expire at their deadlines; completing ones continue, because their bytes are already in the store.
   */
  async block(
    clientId: string,
    { by, reason, from }: { by: string; reason: string | null } & RequestOrigin,
  ): Promise<ClientBlock> {
    const block = { blockedAt: this.#deps.clock.now(), blockedBy: by, reason };
    await this.#deps.store.blockClient(clientId, block, {
      at: block.blockedAt,
      actor: by,
      address: from,
      action: 'client.block',
      clientId,
      uploadId: null,
      detail: { reason },
    });
    // A hello in progress checks for the block after it has added its session.
    const session = this.#deps.sessions.newest(clientId);
    if (session !== undefined) {
      this.#deps.sessions.remove(session);
      session.close(closeCodes.clientBlocked, 'this client was blocked by an operator');
    }
    return block;
  }

  /** Its agent reconnects on its own within two minutes. Has no effect on a client that is not blocked. */
  async unblock(clientId: string, by: string, { from }: RequestOrigin = {}): Promise<void> {
    await this.#deps.store.unblockClient(clientId, {
      at: this.#deps.clock.now(),
      actor: by,
      address: from,
      action: 'client.unblock',
      clientId,
      uploadId: null,
      detail: {},
    });
  }
}
