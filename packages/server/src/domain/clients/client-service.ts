import { BackhaulError } from '@backhaul/protocol';
import { closeCodes } from '@backhaul/protocol';
import type { Clock } from '../ports/clock.ts';
import type { ClientFilter, Store } from '../ports/store.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import type { Upload } from '../uploads/upload.ts';
import type { Client } from './client.ts';

/** What operators can ask about machines. */
export class ClientService {
  readonly #store: Store;
  readonly #sessions: SessionRegistry;
  readonly #clock: Clock;

  constructor(parts: { store: Store; sessions: SessionRegistry; clock: Clock }) {
    this.#store = parts.store;
    this.#sessions = parts.sessions;
    this.#clock = parts.clock;
  }

  /** @throws BackhaulError `client_not_found` */
  async get(clientId: string): Promise<Client> {
    const client = await this.#store.getClient(clientId);
    if (client === undefined) {
      throw new BackhaulError('client_not_found', `No agent has ever connected as ${clientId}.`);
    }
    return client;
  }

  /**
   * Rejects for a client that is not on record. One that is connected to this node is, unless another node has just
   * forgotten it, and the database is not asked.
   *
   * @throws BackhaulError `client_not_found`
   */
  async mustBeKnown(clientId: string): Promise<void> {
    if (this.#sessions.get(clientId) === undefined) await this.get(clientId);
  }

  /** @throws BackhaulError `client_not_found` */
  async status(
    clientId: string,
  ): Promise<{ client: Client; activeUploads: Upload[]; lastUpload: Upload | undefined }> {
    const client = await this.get(clientId);
    const [activeUploads, lastUpload] = await Promise.all([
      this.#store.listActiveUploads(clientId),
      this.#store.lastUpload(clientId),
    ]);
    return { client, activeUploads, lastUpload };
  }

  list(filter: ClientFilter): Promise<Client[]> {
    return this.#store.listClients(filter);
  }

  /**
   * Forgets a client and ends its connection. Its uploads stay; it is known again once it connects again.
   *
   * @throws BackhaulError `client_not_found`; `client_busy` while it has unfinished uploads.
   */
  async forget(clientId: string, by: string): Promise<void> {
    await this.get(clientId);
    const active = await this.#store.listActiveUploads(clientId);
    if (active.length > 0) {
      throw new BackhaulError(
        'client_busy',
        `Client ${clientId} has ${active.length} unfinished uploads; cancel them first.`,
      );
    }
    await this.#store.deleteClient(clientId, {
      at: this.#clock.now(),
      actor: by,
      action: 'client.forget',
      clientId,
      uploadId: null,
      detail: {},
    });
    const session = this.#sessions.newest(clientId);
    if (session === undefined) return;
    // At once: its socket may take seconds to close.
    this.#sessions.remove(session);
    session.close(closeCodes.clientForgotten, 'this client was forgotten by an operator');
  }
}
