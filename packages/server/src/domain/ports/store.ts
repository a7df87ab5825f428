import type { UploadLimits, UploadStatus } from '@backhaul/protocol';
import type { Client, ClientBlock, ClientDescription } from '../clients/client.ts';
import type { KeptPart, PartTotals, Upload, UploadPart } from '../uploads/upload.ts';

/** Who did what, for whoever has to answer for it later. */
export interface AuditEvent {
  readonly at: number;
  /** Subject of the token; `server` for what nobody asked for. */
  readonly actor: string;
  /** E.g. `upload.trigger`. */
  readonly action: string;
  readonly clientId: string | null;
  readonly uploadId: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** As it is on record; ids grow in the order of recording, whatever clocks do. */
export type RecordedAudit = AuditEvent & { readonly id: number };

export interface AuditFilter {
  readonly clientId?: string | undefined;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  /** Milliseconds since the epoch, inclusive. */
  readonly since?: number | undefined;
  /** Milliseconds since the epoch, exclusive. */
  readonly until?: number | undefined;
  /** Only what was recorded before the event of this id. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/**
 * Position in the order in which changes of uploads became visible. Each change has a number, given by the store, that
 * grows whatever clocks do; changes that became visible together may share one, and are in the order of their ids.
 */
export interface ChangePosition {
  readonly change: number;
  /** Only what sorts after this id, of the same number; the empty text for all of it. */
  readonly uploadId: string;
}

/** An upload as it is, with the number of its last change. */
export interface ChangedUpload {
  readonly change: number;
  readonly upload: Upload;
}

/**
 * The clock by which the deadlines of unfinished uploads were given was set. Those that had not passed by it are moved:
 * after a jump back all of them; after one forward only those that would come sooner than `longestGraceMs`, and then
 * not beyond that. For a store whose deadlines were all given by the clock of one server.
 */
export interface DeadlineMove {
  /** By the clock as it is now. */
  readonly now: number;
  /** What it was set forward; negative: back. */
  readonly jumpMs: number;
  readonly longestGraceMs: number;
  /** By the clock as it is now: what was created from then on was given its deadline by it. */
  readonly newSince: number;
}

/** What retention remembers of the clock. */
export interface ClockRecord {
  /** When it was last believed, by itself; null in a new database. */
  readonly trustedAt: number | null;
  /** Whether it is in doubt since. */
  readonly isHeld: boolean;
}

/** Position in a list that is ordered by creation, newest first. */
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
  /** All have to hold. */
  readonly labels?: readonly { readonly name: string; readonly value: string }[] | undefined;
  /** Only clients whose id sorts after this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** What is written together with a new version of an upload, or not at all. */
export interface UploadSave {
  /** The write happens only if the stored version is this one. */
  readonly expectedVersion: number;
  /** Announced parts of an upload that had none. */
  readonly announced?: readonly Omit<UploadPart, 'etag'>[];
  /** Drops the parts table: the upload ended, or starts over. */
  readonly clearParts?: boolean;
  /** What S3 was found to hold: from now on only these parts have an ETag. */
  readonly kept?: readonly KeptPart[];
  readonly audit?: AuditEvent;
}

/** How a new upload is met by what is there already. */
export interface InsertOptions {
  /** What else the request asked for, kept under its idempotency key; only compared. */
  readonly terms?: string;
  /**
   * Present if the request may join an upload of the same client, path, change policy and limits that has not ended and is not
   * to be cancelled: audited as this, with that upload's id.
   */
  readonly join?: AuditEvent;
  /** Where nothing can be joined and the key is new, nothing is written. Default: false. */
  readonly joinOnly?: boolean;
}

/** What a subject got for an idempotency key. */
export interface KeyedUpload {
  readonly upload: Upload;
  /** As in {@link InsertOptions}; null if none were kept. */
  readonly terms: string | null;
}

/**
 * Durable state. Every write is on disk when its promise resolves, and guarded writes say whether they won.
 *
 * @throws StoreError from any method when the database cannot do it now (locked, full, away).
 */
export interface Store {
  /**
   * Also of requests at the same time, one inserts and the others find.
   *
   * @returns undefined when inserted; else the upload that this subject's idempotency key already gave, or the one
   *   that was joined: the newest, from now on under that key too. Its deadline becomes that of `upload` if that
   *   is later, with the next version.
   */
  insertUpload(upload: Upload, audit: AuditEvent, options?: InsertOptions): Promise<Upload | undefined>;
  /** A key belongs to the subject that sent it, and lasts as long as its upload. */
  findByIdempotencyKey(requestedBy: string, idempotencyKey: string): Promise<KeyedUpload | undefined>;
  getUpload(uploadId: string): Promise<Upload | undefined>;
  /** @returns whether the guard held; false changes nothing. */
  saveUpload(upload: Upload, save: UploadSave): Promise<boolean>;
  deleteUpload(uploadId: string, audit: AuditEvent): Promise<void>;
  /** Newest first. */
  listUploads(filter: UploadFilter): Promise<Upload[]>;
  /** Those of a client that have not ended: first those that run, then those that are queued, each oldest first. */
  listActiveUploads(clientId: string, options: { readonly limit: number }): Promise<Upload[]>;
  /** Those of a client that are preparing or uploading: few, however long its queue is. */
  listRunningIds(clientId: string): Promise<string[]>;
  /**
   * The oldest of a client's queue, oldest first; without those that are to wait until later than `now`. None is told
   * to wait longer than `longestWaitMs`: one that seems to has its time from before the clock was set back.
   */
  listQueuedIds(
    clientId: string,
    options: { readonly now: number; readonly longestWaitMs: number; readonly limit: number },
  ): Promise<string[]>;
  listCompletingIds(): Promise<string[]>;
  /** Preparing since before a time or after another, and their agent is there (not stalled). */
  listUnansweredIds(
    asked: { readonly before: number; readonly orAfter: number },
    limit: number,
  ): Promise<string[]>;
  /** Clients that have queued uploads, connected or not. */
  listWaitingClients(): Promise<string[]>;
  lastUpload(clientId: string): Promise<Upload | undefined>;
  /**
   * Changed after this position, in the order of change. What is listed is complete: no change of a lower number
   * becomes visible later. A database where commits can overtake each other has to number them after the commit, or to
   * hold back what is newer than the oldest transaction that is still open.
   */
  listChangesAfter(position: ChangePosition, limit: number): Promise<ChangedUpload[]>;
  /** The number of the last change, also of an upload that was removed since: where a reader begins that wants what is new. */
  lastChange(): Promise<number>;
  /** Not terminal, not completing, and at their deadline or past it. */
  listOverdueIds(now: number, limit: number): Promise<string[]>;
  /** The nearest deadline after `now` of one that is not terminal and not completing. */
  nextDeadline(now: number): Promise<number | undefined>;
  /** @returns how many uploads have another deadline now, each under its next version. */
  moveDeadlines(move: DeadlineMove): Promise<number>;
  /** Terminal, but S3 may still hold their multipart upload; those first that were not touched for longest. */
  listUploadsWithOpenMultipart(limit: number): Promise<Upload[]>;
  /** Of one client, or asked for by the tokens of one subject. */
  countUnfinished(filter: { readonly clientId: string } | { readonly requestedBy: string }): Promise<number>;
  countUploadsByStatus(): Promise<Partial<Record<UploadStatus, number>>>;
  /** Creation time of the oldest queued upload. */
  oldestQueuedAt(): Promise<number | undefined>;
  /** Of uploads that have not ended, since when the one that stands still for longest has done so. */
  oldestStalledSince(): Promise<number | undefined>;

  listParts(uploadId: string): Promise<UploadPart[]>;
  /**
   * Puts announced parts on record. One that is there already stays as it is, with its ETag.
   *
   * @returns the numbers of parts that are on record with another length or checksum; then nothing was written. A
   *   checksum that is null here or there is not compared.
   */
  announceParts(uploadId: string, parts: readonly Omit<UploadPart, 'etag'>[]): Promise<number[]>;
  /** Sets the ETags of announced parts, each given once; unknown part numbers are ignored. */
  recordUploadedParts(
    uploadId: string,
    parts: readonly { readonly partNumber: number; readonly etag: string }[],
  ): Promise<PartTotals>;

  /** Begins a session: makes the client known, and gives the session its epoch. */
  openSession(session: {
    readonly clientId: string;
    readonly sessionId: string;
    readonly nodeId: string;
    readonly at: number;
    readonly tokenExpiresAt: number;
    readonly remoteAddress: string | null;
    readonly description: ClientDescription;
  }): Promise<{ readonly epoch: number }>;
  /** Ends it, unless a newer one has begun. */
  closeSession(clientId: string, epoch: number, at: number): Promise<void>;
  /** At start: sessions that this node's last run left open. Their uploads stand still, for `reason`. */
  closeSessionsOf(nodeId: string, options: { readonly at: number; readonly reason: string }): Promise<void>;
  getClient(clientId: string): Promise<Client | undefined>;
  listClients(filter: ClientFilter): Promise<Client[]>;
  /** Null for those of the server. @returns Whether there is such a client. */
  setClientLimits(
    clientId: string,
    options: { readonly limits: UploadLimits | null; readonly audit: AuditEvent },
  ): Promise<boolean>;
  /** Forgets the client; its uploads stay. */
  deleteClient(clientId: string, audit: AuditEvent): Promise<void>;

  /** Replaces an earlier block. Also of a client that has never connected. */
  blockClient(clientId: string, block: ClientBlock, audit: AuditEvent): Promise<void>;
  unblockClient(clientId: string, audit: AuditEvent): Promise<void>;
  getBlock(clientId: string): Promise<ClientBlock | undefined>;

  /** Newest first. */
  listAudit(filter: AuditFilter): Promise<RecordedAudit[]>;
  appendAudit(event: AuditEvent): Promise<void>;
  /** Removes ended uploads and audit events older than `before`, at most `limit` of each. @returns how many. */
  removeOlderThan(before: number, limit: number): Promise<number>;
  getClockRecord(): Promise<ClockRecord>;
  saveClockRecord(record: ClockRecord): Promise<void>;
  /**
   * Remembers when something first happened on this database.
   *
   * @param at Now. @returns the earliest of all times that were given for this event.
   */
  firstTime(event: string, at: number): Promise<number>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The database cannot do it now; nothing was written. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}
