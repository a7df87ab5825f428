import { BackhaulError, type OfflinePolicy, pathProblem } from '@backhaul/protocol';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import { assertNotBlocked, assertTakesLimits } from '../clients/client.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Expiry } from './expiry.ts';
import type { UnfinishedQuota } from './unfinished-quota.ts';
import { type UploadRequest, newUpload, orderedLimits } from './new-upload.ts';
import type { Upload } from './upload.ts';

/** A trigger request of an operator. */
export interface TriggerRequest extends Omit<UploadRequest, 'filePath'> {
  /** Address of the request, for the audit. */
  readonly requestedFrom?: string | undefined;
  /** Default: the agent's `--file`. */
  readonly filePath?: string | undefined;
  /** Default: `queue`. */
  readonly offline?: OfflinePolicy | undefined;
  /** If true, never join an unfinished upload of the same file. Default: false. */
  readonly force?: boolean | undefined;
}

/** Accepts trigger requests: creates an upload, or finds the one that the request already has. */
export class UploadIntake {
  readonly #store: Store;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #sessions: SessionRegistry;
  readonly #dispatcher: Dispatcher;
  readonly #expiry: Expiry;
  readonly #quota: UnfinishedQuota;
  readonly #settings: UploadSettings;

  constructor(deps: {
    store: Store;
    bus: Bus;
    clock: Clock;
    sessions: SessionRegistry;
    dispatcher: Dispatcher;
    expiry: Expiry;
    quota: UnfinishedQuota;
    settings: UploadSettings;
  }) {
    this.#store = deps.store;
    this.#bus = deps.bus;
    this.#clock = deps.clock;
    this.#sessions = deps.sessions;
    this.#dispatcher = deps.dispatcher;
    this.#expiry = deps.expiry;
    this.#quota = deps.quota;
    this.#settings = deps.settings;
  }

  /** @see UploadService.trigger */
  async accept(request: TriggerRequest): Promise<Upload> {
    // Checked first: whatever has changed since, a repeated request gives the same upload.
    const earlier = await this.#earlierUpload(request);
    if (earlier !== undefined) return earlier;
    const filePath = await this.#pathOf(request);
    this.#assertReachable(request);
    const upload = newUpload({ ...request, filePath }, this.#settings, this.#clock.now());
    const audit = {
      at: upload.createdAt,
      actor: request.requestedBy,
      address: request.requestedFrom,
      clientId: request.clientId,
      detail: { filePath, reason: upload.reason },
    };
    const reservation = await this.#quota.reserve(request);
    let isNew = false;
    let existing: Upload | undefined;
    try {
      // At the limit an existing upload can still be joined, which adds none.
      if (!reservation.isGranted && request.force === true) reservation.assertGranted();
      existing = await this.#store.insertUpload(
        upload,
        { ...audit, action: 'upload.trigger', uploadId: upload.uploadId },
        {
          terms: termsOf(request),
          joinOnly: !reservation.isGranted,
          ...(request.force === true ? {} : { join: { ...audit, action: 'upload.join', uploadId: null } }),
        },
      );
      if (existing === undefined) reservation.assertGranted();
      isNew = existing === undefined;
    } finally {
      reservation.finish(isNew);
    }
    // A joined upload may have a new deadline; a dispatch that read the old one retries because of the version.
    const accepted = existing ?? upload;
    this.#bus.publish(accepted);
    this.#expiry.watch(accepted.expiresAt);
    this.#dispatcher.schedule(accepted.clientId);
    return existing === undefined ? upload : ((await this.#earlierUpload(request)) ?? existing);
  }

  /** @throws BackhaulError `idempotency_conflict` when the key was used for another request. */
  async #earlierUpload(request: TriggerRequest): Promise<Upload | undefined> {
    const { requestedBy, idempotencyKey, clientId, filePath } = request;
    if (idempotencyKey === undefined) return undefined;
    const earlier = await this.#store.findByIdempotencyKey(requestedBy, idempotencyKey);
    if (earlier === undefined) return undefined;
    const { upload } = earlier;
    // Stored before requests had other options.
    const terms = earlier.terms ?? termsOf({ reason: upload.reason ?? undefined });
    const isSame =
      upload.clientId === clientId &&
      (filePath === undefined || upload.filePath === filePath) &&
      terms === termsOf(request);
    if (!isSame) throw new BackhaulError('idempotency_conflict');
    return upload;
  }

  async #pathOf({ clientId, filePath, limits }: TriggerRequest): Promise<string> {
    const client = await this.#store.getClient(clientId);
    if (client === undefined) {
      throw new BackhaulError(
        'client_not_found',
        `No agent has ever connected as ${clientId}. Check the client_id, or start its agent once.`,
      );
    }
    assertNotBlocked(clientId, client.block);
    if (orderedLimits(limits) !== null) assertTakesLimits(client);
    // The upload would wait for the agent, perhaps for days, and then fail.
    const problem = filePath === undefined ? null : pathProblem(filePath, client.platform.os);
    if (problem !== null) throw new BackhaulError('invalid_path', problem);
    const path = filePath ?? client.defaultFilePath;
    if (path === null) {
      throw new BackhaulError(
        'invalid_request',
        `file_path is missing, and agent ${clientId} was started without --file, so it has no default.`,
      );
    }
    return path;
  }

  #assertReachable({ clientId, offline }: TriggerRequest): void {
    if (offline !== 'fail' || this.#sessions.get(clientId) !== undefined) return;
    throw new BackhaulError(
      'client_offline',
      `Agent ${clientId} is not connected, and offline is "fail". With offline "queue" the upload waits for it.`,
    );
  }
}

/**
 * The options of a request except its file, for comparison. Defaults are left out, so that options added later do not
 * change the terms of earlier requests.
 */
function termsOf({
  reason,
  expiresInMs,
  offline = 'queue',
  onChange = 'fail',
  force = false,
  limits,
}: Pick<TriggerRequest, 'reason' | 'expiresInMs' | 'offline' | 'onChange' | 'force' | 'limits'>): string {
  const asked = orderedLimits(limits);
  return JSON.stringify({
    reason,
    expiresInMs,
    ...(offline === 'queue' ? {} : { offline }),
    ...(onChange === 'fail' ? {} : { onChange }),
    ...(force ? { force } : {}),
    ...(asked === null ? {} : { limits: asked }),
  });
}
