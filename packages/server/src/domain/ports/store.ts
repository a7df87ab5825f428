import type { AuditOutcome, UploadLimits, UploadStatus } from '@backhaul/protocol';
import type { Client, ClientBlock, ClientDescription } from '../agents/client.ts';
import type { ChainedToken } from '../agents/token-chain.ts';
import type { StoredPart, PartTotals, Upload, UploadPart } from '../uploads/upload.ts';

/** A record of who did what, for later accountability. */
export interface AuditEvent {
  readonly at: number;
  /** Subject of the token; empty for a request without a valid one. */
  readonly actor: string;
  /** E.g. `upload.trigger`. */
  readonly action: string;
  readonly clientId: string | null;
  readonly uploadId: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
  /** Where the request came from. Default: null, for the server's own actions. */
  readonly address?: string | null | undefined;
  /** Default: null, for a request that was accepted. */
  readonly refusal?: AuditRefusal | null | undefined;
  /** Equal requests that this event stands for. Default: 1. */
  readonly count?: number | undefined;
}

export interface AuditRefusal {
  /** HTTP status. */
  readonly status: number;
  readonly error: string;
}

/** Where an operator's request came from, for the audit. */
export interface RequestOrigin {
  readonly from?: string | undefined;
}

/** A stored event; ids grow in insertion order, whatever the clock does. */
export type RecordedAudit = Required<AuditEvent> & {
  readonly id: number;
  readonly address: string | null;
  readonly refusal: AuditRefusal | null;
  readonly count: number;
};

export interface AuditFilter {
  readonly clientId?: string | undefined;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly outcome?: AuditOutcome | undefined;
  /** Milliseconds since the epoch, inclusive. */
  readonly since?: number | undefined;
  /** Milliseconds since the epoch, exclusive. */
  readonly until?: number | undefined;
  /** Only events that sort after this one. */
  readonly after?: Pick<RecordedAudit, 'at' | 'id'> | undefined;
  readonly limit: number;
}

/**
 * Position in the sequence of upload changes. The store numbers each change when it becomes visible, with numbers
 * that grow whatever the clock does; changes that became visible together may share a number and are sorted by id.
 */
export interface ChangePosition {
  readonly change: number;
  /** Only uploads with the same change number whose id sorts after this one; the empty string for all of them. */
  readonly uploadId: string;
}

/** The current upload with the number of its last change. */
export interface ChangedUpload {
  readonly change: number;
  readonly upload: Upload;
}

/**
 * The clock that deadlines of unfinished uploads were computed from was set. Deadlines that had not passed by then
 * are moved: after a jump back all of them; after a jump forward only those that would come sooner than
 * `maxGraceMs`, and only up to that. For stores whose deadlines all come from the clock of one server.
 */
export interface DeadlineMove {
  /** By the clock as it is now. */
  readonly now: number;
  /** How far the clock was set forward; negative: back. */
  readonly jumpMs: number;
  readonly maxGraceMs: number;
  /** By the clock as it is now: deadlines of uploads created since then were computed from it. */
  readonly newSince: number;
}

/** What retention remembers about the clock. */
export interface ClockRecord {
  /** The last time it was trusted, by its own reading; null in a new database. */
  readonly trustedAt: number | null;
  /** Whether it has been in doubt since. */
  readonly isHeld: boolean;
}

/** Position in a list sorted by creation time, newest first. */
export interface UploadPosition {
  readonly createdAt: number;
  readonly uploadId: string;
}

export interface UploadFilter {
  readonly clientId?: string | undefined;
  readonly status?: UploadStatus | undefined;
  /** Only uploads strictly after this position. */
  readonly after?: UploadPosition | undefined;
  readonly limit: number;
}

export interface ClientFilter {
  readonly connected?: boolean | undefined;
  /** All labels must match. */
  readonly labels?: readonly { readonly name: string; readonly value: string }[] | undefined;
  /** Only clients whose id sorts after this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Data written in the same transaction as a new version of an upload. */
export interface UploadSave {
  /** The write happens only if this is the stored version. */
  readonly expectedVersion: number;
  /** Announced parts of an upload that had none. */
  readonly announced?: readonly Omit<UploadPart, 'etag'>[];
  /** Clears the parts table: the upload ended, or starts over. */
  readonly clearParts?: boolean;
  /** Parts that S3 was found to store: from now on only these have an ETag. */
  readonly stored?: readonly StoredPart[];
  readonly audit?: AuditEvent;
}

/** How a new upload relates to existing ones. */
export interface InsertOptions {
  /** Other attributes of the request, stored under its idempotency key; only compared. */
  readonly terms?: string;
  /**
   * Present if the request may join an unfinished upload of the same client, path, change policy and limits that is
   * not about to be cancelled. The join is audited as this event, with that upload's id.
   */
  readonly join?: AuditEvent;
  /** If true, nothing is written when no upload can be joined and the key is new. Default: false. */
  readonly joinOnly?: boolean;
}

/** The upload that a subject got for an idempotency key. */
export interface KeyedUpload {
  readonly upload: Upload;
  /** As in {@link InsertOptions}; null if none were stored. */
  readonly terms: string | null;
}

/**
 * Durable state. Every write is on disk when its promise resolves, and guarded writes report whether they won.
 *
 * @throws StoreError from any method while the database is unusable (locked, full, unreachable).
 */
export interface Store {
  /**
   * Of concurrent requests, one inserts and the others find its upload.
   *
   * @returns undefined when inserted; otherwise the upload already stored under this subject's idempotency key, or
   *   the joined one: the newest, from now on stored under that key too. Its deadline becomes that of `upload` if
   *   that is later, with the next version.
   */
  insertUpload(upload: Upload, audit: AuditEvent, options?: InsertOptions): Promise<Upload | undefined>;
  /** A key belongs to the subject that sent it, and exists as long as its upload. */
  findByIdempotencyKey(requestedBy: string, idempotencyKey: string): Promise<KeyedUpload | undefined>;
  getUpload(uploadId: string): Promise<Upload | undefined>;
  /** @returns whether the guard held; false means nothing was changed. */
  saveUpload(upload: Upload, save: UploadSave): Promise<boolean>;
  deleteUpload(uploadId: string, audit: AuditEvent): Promise<void>;
  /** Newest first. */
  listUploads(filter: UploadFilter): Promise<Upload[]>;
  /** A client's unfinished uploads: first the running ones, then the queued ones, each oldest first. */
  listActiveUploads(clientId: string, options: { readonly limit: number }): Promise<Upload[]>;
  /** A client's uploads that are preparing or uploading: few, however long its queue is. */
  listRunningIds(clientId: string): Promise<string[]>;
  /**
   * The oldest uploads in a client's queue, oldest first, without those that must wait until later than `now`. No
   * upload waits longer than `maxWaitMs`: a later time was set before the clock was set back.
   */
  listQueuedIds(
    clientId: string,
    options: { readonly now: number; readonly maxWaitMs: number; readonly limit: number },
  ): Promise<string[]>;
  listCompletingIds(): Promise<string[]>;
  /** Uploads preparing since before the first time or after the second, whose agent is connected (not stalled). */
  listUnansweredIds(
    asked: { readonly before: number; readonly orAfter: number },
    limit: number,
  ): Promise<string[]>;
  /** Clients that have queued uploads, connected or not. */
  listWaitingClients(): Promise<string[]>;
  lastUpload(clientId: string): Promise<Upload | undefined>;
  /**
   * Uploads changed after this position, in the sequence of changes. The list is complete: no change with a lower
   * number becomes visible later. A database where commits can overtake each other has to number changes after the
   * commit, or to hold back changes newer than the oldest open transaction.
   */
  listChangesAfter(position: ChangePosition, limit: number): Promise<ChangedUpload[]>;
  /**
   * Number of the last change, even of an upload that has been removed since: the start position for readers that
   * want only new changes.
   */
  lastChange(): Promise<number>;
  /** Neither terminal nor completing, and at or past their deadline. */
  listOverdueIds(now: number, limit: number): Promise<string[]>;
  /** The earliest deadline after `now` of uploads that are neither terminal nor completing. */
  nextDeadline(now: number): Promise<number | undefined>;
  /** @returns the number of uploads with a new deadline; each gets its next version. */
  moveDeadlines(move: DeadlineMove): Promise<number>;
  /** Terminal uploads whose multipart upload may still exist at S3; the least recently touched first. */
  listUploadsWithOpenMultipart(limit: number): Promise<Upload[]>;
  /** Unfinished uploads of one client, or requested by the tokens of one subject. */
  countUnfinished(filter: { readonly clientId: string } | { readonly requestedBy: string }): Promise<number>;
  countUploadsByStatus(): Promise<Partial<Record<UploadStatus, number>>>;
  /** Creation time of the oldest queued upload. */
  oldestQueuedAt(): Promise<number | undefined>;
  /** Since when the unfinished upload with the longest stall has been stalled. */
  oldestStalledSince(): Promise<number | undefined>;

  listParts(uploadId: string): Promise<UploadPart[]>;
  /**
   * Records announced parts. A part already recorded stays unchanged, with its ETag.
   *
   * @returns the numbers of parts recorded with another length or checksum; nothing was written then. A checksum that
   *   is null on either side is not compared.
   */
  announceParts(uploadId: string, parts: readonly Omit<UploadPart, 'etag'>[]): Promise<number[]>;
  /** Sets the ETags of announced parts, each given once; unknown part numbers are ignored. */
  recordUploadedParts(
    uploadId: string,
    parts: readonly { readonly partNumber: number; readonly etag: string }[],
  ): Promise<PartTotals>;

  /**
   * Starts a session: records the client, assigns the session its epoch, and marks its token as used, which replaces
   * earlier tokens.
   *
   * @returns undefined, with nothing written, if the token itself was replaced.
   */
  openSession(session: {
    readonly clientId: string;
    readonly sessionId: string;
    readonly nodeId: string;
    readonly at: number;
    readonly token: { readonly id: string; readonly issuedAt: number; readonly expiresAt: number };
    readonly remoteAddress: string | null;
    readonly description: ClientDescription;
  }): Promise<{ readonly epoch: number } | undefined>;
  /** Ends the session, unless a newer one has started. */
  closeSession(clientId: string, epoch: number, at: number): Promise<void>;
  /** Called at start: closes sessions that this node's last run left open. Their uploads are stalled, for `reason`. */
  closeSessionsOf(nodeId: string, options: { readonly at: number; readonly reason: string }): Promise<void>;
  /** Undefined for a token that was never renewed and renewed none. */
  getChainedToken(tokenId: string): Promise<ChainedToken | undefined>;
  /**
   * Records the renewed token to offer for a token before it is sent: the one already offered but unused, otherwise a
   * new one with the id `newId`.
   *
   * @returns undefined if the token must not be renewed, or its client is blocked.
   */
  offerToken(
    token: {
      readonly clientId: string;
      readonly id: string;
      readonly issuedAt: number;
      readonly expiresAt: number;
    },
    options: { readonly now: number; readonly newId: string },
  ): Promise<ChainedToken | undefined>;
  /** Stops the renewal of all recorded tokens of this client. */
  stopRenewal(clientId: string, at: number): Promise<void>;
  /** Records the later expiry of the token that this session's agent has stored. */
  setTokenExpiry(clientId: string, epoch: number, tokenExpiresAt: number): Promise<void>;
  /** Removes token records that are no longer needed, at most `limit`. @returns how many. */
  removeEndedTokens(now: number, limit: number): Promise<number>;
  getClient(clientId: string): Promise<Client | undefined>;
  listClients(filter: ClientFilter): Promise<Client[]>;
  /** Null restores the server's limits. @returns whether the client exists. */
  setClientLimits(
    clientId: string,
    options: { readonly limits: UploadLimits | null; readonly audit: AuditEvent },
  ): Promise<boolean>;
  /** Removes the client; its uploads stay. */
  deleteClient(clientId: string, audit: AuditEvent): Promise<void>;

  /** Replaces an earlier block. Also works for a client that has never connected. */
  blockClient(clientId: string, block: ClientBlock, audit: AuditEvent): Promise<void>;
  unblockClient(clientId: string, audit: AuditEvent): Promise<void>;
  getBlock(clientId: string): Promise<ClientBlock | undefined>;

  /** Newest first, by `at`; of the same time, the one that was recorded last first. */
  listAudit(filter: AuditFilter): Promise<RecordedAudit[]>;
  /** @returns its id. */
  appendAudit(event: AuditEvent): Promise<number>;
  /** Sets `count` of an event that is on record. */
  setAuditCount(id: number, count: number): Promise<void>;
  /** Of how many audit events there are, and how many of them have no actor. */
  countAudit(): Promise<{ readonly all: number; readonly withoutActor: number }>;
  /** The id of the event that was recorded first of those with a time from `since` to `until`. */
  findFirstAudit(span: { readonly since: number; readonly until: number }): Promise<number | undefined>;
  /**
   * Removes audit events, those that were recorded first.
   *
   * @param which Those older than `before` that were recorded before the event `beforeId`; or any; or those without an
   *   actor.
   * @returns how many.
   */
  removeAudit(
    which: { readonly before: number; readonly beforeId: number | undefined } | 'any' | 'without-actor',
    limit: number,
  ): Promise<number>;
  /** Removes uploads that ended before `before`, at most `limit`. @returns how many. */
  removeOlderThan(before: number, limit: number): Promise<number>;
  getClockRecord(): Promise<ClockRecord>;
  saveClockRecord(record: ClockRecord): Promise<void>;
  /**
   * Records when something first happened on this database.
   *
   * @param at Now. @returns the earliest time ever given for this event.
   */
  firstTime(event: string, at: number): Promise<number>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The database is unusable at the moment; nothing was written. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}
