import type { UploadStatus } from '@backhaul/protocol';
import type { Client, ClientDescription } from '../clients/client.ts';
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
  readonly label?: { readonly name: string; readonly value: string } | undefined;
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
   * Present if the request may join an upload of the same client, path and change policy that has not ended: audited
   * as this, with that upload's id.
   */
  readonly join?: AuditEvent;
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
  /** Queued, preparing, uploading and completing ones of a client, oldest first. */
  listActiveUploads(clientId: string): Promise<Upload[]>;
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
  /** Preparing since before `askedBefore`, and their agent is there (not stalled). */
  listUnansweredIds(askedBefore: number, limit: number): Promise<string[]>;
  /** Clients that have queued uploads, connected or not. */
  listWaitingClients(): Promise<string[]>;
  lastUpload(clientId: string): Promise<Upload | undefined>;
  /** Changed after this position, in the order of change, and of their ids within a millisecond. */
  listUploadsChangedAfter(
    position: { readonly updatedAt: number; readonly uploadId: string },
    limit: number,
  ): Promise<Upload[]>;
  /** Not terminal, not completing, and at their deadline or past it. */
  listOverdueIds(now: number, limit: number): Promise<string[]>;
  /** The nearest deadline after `now` of one that is not terminal and not completing. */
  nextDeadline(now: number): Promise<number | undefined>;
  /** Terminal, but S3 may still hold their multipart upload; those first that were not touched for longest. */
  listUploadsWithOpenMultipart(limit: number): Promise<Upload[]>;
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
    readonly description: ClientDescription;
  }): Promise<{ readonly epoch: number }>;
  /** Ends it, unless a newer one has begun. */
  closeSession(clientId: string, epoch: number, at: number): Promise<void>;
  /** At start: sessions that this node's last run left open. Their uploads stand still, for `reason`. */
  closeSessionsOf(nodeId: string, options: { readonly at: number; readonly reason: string }): Promise<void>;
  getClient(clientId: string): Promise<Client | undefined>;
  listClients(filter: ClientFilter): Promise<Client[]>;
  /** Forgets the client; its uploads stay. */
  deleteClient(clientId: string, audit: AuditEvent): Promise<void>;

  appendAudit(event: AuditEvent): Promise<void>;
  /** Removes ended uploads and audit events older than `before`, at most `limit` of each. @returns how many. */
  removeOlderThan(before: number, limit: number): Promise<number>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** The database cannot do it now; nothing was written. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}
