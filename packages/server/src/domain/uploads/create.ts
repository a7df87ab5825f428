import {
  BackhaulError,
  type ChangePolicy,
  fileNameOf,
  type OfflinePolicy,
  pathProblem,
  savedFileName,
  type UploadLimits,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import { assertNotBlocked, assertTakesLimits } from '../agents/client.ts';
import type { SessionRegistry } from '../agents/session.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Expiry } from './expire.ts';
import type { UnfinishedQuota } from './unfinished-quota.ts';
import { RESET_ATTEMPT, type Upload } from './upload.ts';

interface UploadRequest {
  readonly clientId: string;
  readonly filePath: string;
  readonly reason?: string | undefined;
  readonly requestedBy: string;
  readonly idempotencyKey?: string | undefined;
  /** Default: `fail`. */
  readonly onChange?: ChangePolicy | undefined;
  /** Default: the limits of the client and of the server. */
  readonly limits?: UploadLimits | undefined;
  /** From now, in ms. Default: {@link UploadSettings.lifetimeMs}. */
  readonly expiresInMs?: number | undefined;
}

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

export interface CreateDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly sessions: SessionRegistry;
  readonly dispatcher: Dispatcher;
  readonly expiry: Expiry;
  readonly quota: UnfinishedQuota;
  readonly settings: UploadSettings;
}

/**
 * Accepts a trigger request: creates an upload, or finds the one that the request already has.
 *
 * @see UploadService.trigger
 */
export async function createUpload(deps: CreateDeps, request: TriggerRequest): Promise<Upload> {
  // Checked first: whatever has changed since, a repeated request gives the same upload.
  const earlier = await earlierUpload(deps, request);
  if (earlier !== undefined) return earlier;
  const filePath = await pathOf(deps, request);
  assertReachable(deps, request);
  const upload = newUpload({ ...request, filePath }, deps.settings, deps.clock.now());
  const audit = {
    at: upload.createdAt,
    actor: request.requestedBy,
    address: request.requestedFrom,
    clientId: request.clientId,
    detail: { filePath, reason: upload.reason },
  };
  const reservation = await deps.quota.reserve(request);
  let isNew = false;
  let existing: Upload | undefined;
  try {
    // At the limit an existing upload can still be joined, which adds none.
    if (!reservation.isGranted && request.force === true) reservation.assertGranted();
    existing = await deps.store.insertUpload(
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
  deps.bus.publish(accepted);
  deps.expiry.watch(accepted.expiresAt);
  deps.dispatcher.schedule(accepted.clientId);
  return existing === undefined ? upload : ((await earlierUpload(deps, request)) ?? existing);
}

/** @throws BackhaulError `idempotency_conflict` when the key was used for another request. */
async function earlierUpload(deps: CreateDeps, request: TriggerRequest): Promise<Upload | undefined> {
  const { requestedBy, idempotencyKey, clientId, filePath } = request;
  if (idempotencyKey === undefined) return undefined;
  const earlier = await deps.store.findByIdempotencyKey(requestedBy, idempotencyKey);
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

async function pathOf(deps: CreateDeps, { clientId, filePath, limits }: TriggerRequest): Promise<string> {
  const client = await deps.store.getClient(clientId);
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

function assertReachable({ sessions }: CreateDeps, { clientId, offline }: TriggerRequest): void {
  if (offline !== 'fail' || sessions.get(clientId) !== undefined) return;
  throw new BackhaulError(
    'client_offline',
    `Agent ${clientId} is not connected, and offline is "fail". With offline "queue" the upload waits for it.`,
  );
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

/** A newly accepted upload: queued, with nothing known of the file but its path. */
function newUpload(request: UploadRequest, settings: UploadSettings, now: number): Upload {
  const { clientId, filePath, requestedBy } = request;
  const uploadId = uuidv7();
  return {
    ...RESET_ATTEMPT,
    uploadId,
    clientId,
    filePath,
    fileName: savedFileName(filePath),
    status: 'queued',
    attempt: 1,
    version: 1,
    onChange: request.onChange ?? 'fail',
    limits: orderedLimits(request.limits),
    setbacks: 0,
    restarts: 0,
    refusedCompletions: 0,
    lostAfterMs: null,
    bucket: settings.bucketName,
    key: uploadKey({ prefix: settings.keyPrefix, clientId, uploadId, fileName: fileNameOf(filePath) }),
    etag: null,
    versionId: null,
    crc32: null,
    verification: null,
    serverSideEncryption: null,
    storageClass: null,
    error: null,
    message: null,
    cancelRequestedBy: null,
    cancelRequestedAt: null,
    requestedBy,
    reason: request.reason ?? null,
    idempotencyKey: request.idempotencyKey ?? null,
    batchId: null,
    createdAt: now,
    updatedAt: now,
    completedAt: null,
    expiresAt: now + (request.expiresInMs ?? settings.lifetimeMs),
  };
}

/** Equal limits have equal JSON; no limits become null. */
export function orderedLimits(limits: UploadLimits | null | undefined): UploadLimits | null {
  const { parallel_parts: parallelParts, max_rate: maxRate } = limits ?? {};
  if (parallelParts === undefined && maxRate === undefined) return null;
  return {
    ...(parallelParts === undefined ? {} : { parallel_parts: parallelParts }),
    ...(maxRate === undefined ? {} : { max_rate: maxRate }),
  };
}

/**
 * `{prefix}/{client_id}/{upload_id}/{safe file name}`. Safe characters only: URL parsers would normalise a key with
 * `../` after signing, and stores disagree about escaping of others.
 */
export function uploadKey(location: {
  prefix: string;
  clientId: string;
  uploadId: string;
  fileName: string;
}): string {
  return [location.prefix, location.clientId, location.uploadId, keySegment(location.fileName)]
    .filter((segment) => segment !== '')
    .join('/');
}

/** Maximum length of the name; S3 allows keys of 1,024 bytes in all. */
const MAX_NAME_LENGTH = 128;

export function keySegment(fileName: string): string {
  const safe = fileName
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '_')
    // From the end, to preserve the extension.
    .slice(-MAX_NAME_LENGTH)
    // A segment of only dots would mean the parent or the current directory.
    .replace(/^\.+/, '_');
  return safe || 'file';
}
