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

/** As an operator sent it. */
export interface PullRequest extends Omit<UploadRequest, 'filePath'> {
  /** Default: the agent's `--file`. */
  readonly filePath?: string | undefined;
  /** Default: `queue`. */
  readonly offline?: OfflinePolicy | undefined;
  /** Whether an upload of the same file that has not ended is no answer. Default: false. */
  readonly force?: boolean | undefined;
}

/** Accepts pulls: makes an upload of a request, or finds the one that it already has. */
export class PullIntake {
  readonly #store: Store;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #sessions: SessionRegistry;
  readonly #dispatcher: Dispatcher;
  readonly #expiry: Expiry;
  readonly #quota: UnfinishedQuota;
  readonly #settings: UploadSettings;

  constructor(parts: {
    store: Store;
    bus: Bus;
    clock: Clock;
    sessions: SessionRegistry;
    dispatcher: Dispatcher;
    expiry: Expiry;
    quota: UnfinishedQuota;
    settings: UploadSettings;
  }) {
    this.#store = parts.store;
    this.#bus = parts.bus;
    this.#clock = parts.clock;
    this.#sessions = parts.sessions;
    this.#dispatcher = parts.dispatcher;
    this.#expiry = parts.expiry;
    this.#quota = parts.quota;
    this.#settings = parts.settings;
  }

  /** @see UploadService.trigger */
  async accept(request: PullRequest): Promise<Upload> {
    // First of all: whatever has changed since, the same request again is the same upload.
    const earlier = await this.#earlierUpload(request);
    if (earlier !== undefined) return earlier;
    const filePath = await this.#pathOf(request);
    this.#assertReachable(request);
    const upload = newUpload({ ...request, filePath }, this.#settings, this.#clock.now());
    const audit = {
      at: upload.createdAt,
      actor: request.requestedBy,
      clientId: request.clientId,
      detail: { filePath, reason: upload.reason },
    };
    const place = await this.#quota.take(request);
    let isNew = false;
    let existing: Upload | undefined;
    try {
      // At the limit an upload can still be joined: that makes none.
      if (!place.isGranted && request.force === true) place.assertGranted();
      existing = await this.#store.insertUpload(
        upload,
        { ...audit, action: 'upload.trigger', uploadId: upload.uploadId },
        {
          terms: termsOf(request),
          joinOnly: !place.isGranted,
          ...(request.force === true ? {} : { join: { ...audit, action: 'upload.join', uploadId: null } }),
        },
      );
      if (existing === undefined) place.assertGranted();
      isNew = existing === undefined;
    } finally {
      place.settle(isNew);
    }
    // One that was joined may have a new deadline, and a hand-over that had read it before lets go of it.
    const accepted = existing ?? upload;
    this.#bus.publish(accepted);
    this.#expiry.watch(accepted.expiresAt);
    this.#dispatcher.kick(accepted.clientId);
    return existing === undefined ? upload : ((await this.#earlierUpload(request)) ?? existing);
  }

  /** @throws BackhaulError `idempotency_conflict` when the key was used for another request. */
  async #earlierUpload(request: PullRequest): Promise<Upload | undefined> {
    const { requestedBy, idempotencyKey, clientId, filePath } = request;
    if (idempotencyKey === undefined) return undefined;
    const earlier = await this.#store.findByIdempotencyKey(requestedBy, idempotencyKey);
    if (earlier === undefined) return undefined;
    const { upload } = earlier;
    // Kept before there was anything else to ask for.
    const terms = earlier.terms ?? termsOf({ reason: upload.reason ?? undefined });
    const isSame =
      upload.clientId === clientId &&
      (filePath === undefined || upload.filePath === filePath) &&
      terms === termsOf(request);
    if (!isSame) throw new BackhaulError('idempotency_conflict');
    return upload;
  }

  async #pathOf({ clientId, filePath, limits }: PullRequest): Promise<string> {
    const client = await this.#store.getClient(clientId);
    if (client === undefined) {
      throw new BackhaulError(
        'client_not_found',
        `No agent has ever connected as ${clientId}. Check the client_id, or start its agent once.`,
      );
    }
    assertNotBlocked(clientId, client.block);
    if (orderedLimits(limits) !== null) assertTakesLimits(client);
    // It would wait for the agent, perhaps for days, and then fail.
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

  #assertReachable({ clientId, offline }: PullRequest): void {
    if (offline !== 'fail' || this.#sessions.get(clientId) !== undefined) return;
    throw new BackhaulError(
      'client_offline',
      `Agent ${clientId} is not connected, and offline is "fail". With offline "queue" the pull waits for it.`,
    );
  }
}

/**
 * What a request asks for besides its file, to be compared. Without what is as by default, so that options that are
 * added later do not change what earlier requests were.
 */
function termsOf({
  reason,
  expiresInMs,
  offline = 'queue',
  onChange = 'fail',
  force = false,
  limits,
}: Pick<PullRequest, 'reason' | 'expiresInMs' | 'offline' | 'onChange' | 'force' | 'limits'>): string {
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
