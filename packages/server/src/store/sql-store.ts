import type { UploadLimits } from '@backhaul/protocol';
import { sql } from 'kysely';
import {
  type AuditEvent,
  type AuditFilter,
  type ChangePosition,
  type ClockRecord,
  type DeadlineMove,
  type ClientFilter,
  type InsertOptions,
  type Store,
  StoreError,
  type UploadFilter,
  type UploadSave,
} from '../domain/ports/store.ts';
import type { ClientBlock } from '../domain/clients/client.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import * as audits from './audit-queries.ts';
import { selectLastChange } from './change-counter.ts';
import * as clients from './client-queries.ts';
import * as clocks from './clock-queries.ts';
import type { CommitQueue } from './commit-queue.ts';
import { insertUpload } from './insert-upload.ts';
import { selectByKey } from './key-queries.ts';
import * as parts from './part-queries.ts';
import type { Queries } from './queries.ts';
import type { Schema } from './schema.ts';
import * as sessions from './session-queries.ts';
import * as tokens from './chained-token-queries.ts';
import { isSqliteError } from './sqlite-error.ts';
import * as uploads from './upload-queries.ts';

/**
 * {@link Store} in SQL: decides what is a read and what must be written together. There is one file of queries per
 * table; the constructor's caller chooses the database.
 */
export class SqlStore implements Store {
  readonly #queue: CommitQueue<Schema>;
  readonly #closeDatabase: () => Promise<void>;

  constructor(queue: CommitQueue<Schema>, closeDatabase: () => Promise<void>) {
    this.#queue = queue;
    this.#closeDatabase = closeDatabase;
  }

  insertUpload(upload: Upload, audit: AuditEvent, options: InsertOptions = {}) {
    return this.#write((db) => insertUpload(db, upload, { audit, ...options }));
  }

  findByIdempotencyKey(requestedBy: string, idempotencyKey: string) {
    return this.#read((db) => selectByKey(db, requestedBy, idempotencyKey));
  }

  getUpload(uploadId: string) {
    return this.#read((db) => uploads.selectUpload(db, uploadId));
  }

  saveUpload(upload: Upload, save: UploadSave) {
    return this.#write((db) => uploads.updateUpload(db, upload, save));
  }

  deleteUpload(uploadId: string, audit: AuditEvent) {
    return this.#write((db) => uploads.deleteUpload(db, uploadId, audit));
  }

  listUploads(filter: UploadFilter) {
    return this.#read((db) => uploads.selectUploads(db, filter));
  }

  listActiveUploads(clientId: string, options: { limit: number }) {
    return this.#read((db) => uploads.selectActiveUploads(db, clientId, options));
  }

  listRunningIds(clientId: string) {
    return this.#read((db) => uploads.selectRunningIds(db, clientId));
  }

  listQueuedIds(clientId: string, options: Parameters<Store['listQueuedIds']>[1]) {
    return this.#read((db) => uploads.selectQueuedIds(db, clientId, options));
  }

  listCompletingIds() {
    return this.#read(uploads.selectCompletingIds);
  }

  listUnansweredIds(asked: Parameters<Store['listUnansweredIds']>[0], limit: number) {
    return this.#read((db) => uploads.selectUnansweredIds(db, asked, limit));
  }

  listWaitingClients() {
    return this.#read(uploads.selectWaitingClients);
  }

  async lastUpload(clientId: string) {
    const [upload] = await this.listUploads({ clientId, limit: 1 });
    return upload;
  }

  listChangesAfter(position: ChangePosition, limit: number) {
    return this.#read((db) => uploads.selectChangesAfter(db, position, limit));
  }

  lastChange() {
    return this.#read(selectLastChange);
  }

  listOverdueIds(now: number, limit: number) {
    return this.#read((db) => uploads.selectOverdueIds(db, now, limit));
  }

  nextDeadline(now: number) {
    return this.#read((db) => uploads.selectNextDeadline(db, now));
  }

  moveDeadlines(move: DeadlineMove) {
    return this.#write((db) => clocks.moveDeadlines(db, move));
  }

  listUploadsWithOpenMultipart(limit: number) {
    return this.#read((db) => uploads.selectUploadsWithOpenMultipart(db, limit));
  }

  countUnfinished(filter: Parameters<Store['countUnfinished']>[0]) {
    return this.#read((db) => uploads.countUnfinished(db, filter));
  }

  countUploadsByStatus() {
    return this.#read(uploads.countUploadsByStatus);
  }

  oldestQueuedAt() {
    return this.#read(uploads.selectOldestQueuedAt);
  }

  oldestStalledSince() {
    return this.#read(uploads.selectOldestStalledSince);
  }

  listParts(uploadId: string) {
    return this.#read((db) => parts.selectParts(db, uploadId));
  }

  announceParts(uploadId: string, announced: readonly parts.AnnouncedPart[]) {
    return this.#write((db) => parts.announceParts(db, uploadId, announced));
  }

  recordUploadedParts(
    uploadId: string,
    uploaded: readonly { readonly partNumber: number; readonly etag: string }[],
  ) {
    return this.#write((db) => parts.setEtags(db, uploadId, uploaded));
  }

  openSession(session: Parameters<Store['openSession']>[0]) {
    const { clientId, token, at } = session;
    return this.#write(async (db) => {
      if (!(await tokens.useToken(db, clientId, { token, at }))) return undefined;
      await clients.upsertClient(db, clientId, session);
      return sessions.startSession(db, { ...session, tokenExpiresAt: token.expiresAt });
    });
  }

  getChainedToken(tokenId: string) {
    return this.#read((db) => tokens.selectToken(db, tokenId));
  }

  offerToken(
    token: Parameters<Store['offerToken']>[0],
    options: { readonly now: number; readonly newId: string },
  ) {
    return this.#write((db) => tokens.offerToken(db, token, options));
  }

  stopRenewal(clientId: string, at: number) {
    return this.#write((db) => tokens.stopRenewal(db, clientId, at));
  }

  setTokenExpiry(clientId: string, epoch: number, tokenExpiresAt: number) {
    return this.#write((db) => sessions.setTokenExpiry(db, { clientId, epoch, tokenExpiresAt }));
  }

  removeEndedTokens(now: number, limit: number) {
    return this.#write((db) => tokens.deleteEndedTokens(db, now, limit));
  }

  closeSession(clientId: string, epoch: number, at: number) {
    return this.#write(async (db) => {
      await sessions.endSession(db, clientId, epoch);
      await clients.touchClient(db, clientId, at);
    });
  }

  closeSessionsOf(nodeId: string, options: { readonly at: number; readonly reason: string }) {
    return this.#write(async (db) => {
      await uploads.stallUploadsOf(db, nodeId, options);
      await sessions.endSessionsOf(db, nodeId);
    });
  }

  getClient(clientId: string) {
    return this.#read((db) => clients.selectClient(db, clientId));
  }

  listClients(filter: ClientFilter) {
    return this.#read((db) => clients.selectClients(db, filter));
  }

  setClientLimits(clientId: string, options: { limits: UploadLimits | null; audit: AuditEvent }) {
    return this.#write((db) => clients.updateClientLimits(db, clientId, options));
  }

  deleteClient(clientId: string, audit: AuditEvent) {
    return this.#write((db) => clients.deleteClient(db, clientId, audit));
  }

  blockClient(clientId: string, block: ClientBlock, audit: AuditEvent) {
    return this.#write((db) => clients.blockClient(db, clientId, { block, audit }));
  }

  unblockClient(clientId: string, audit: AuditEvent) {
    return this.#write((db) => clients.unblockClient(db, clientId, audit));
  }

  getBlock(clientId: string) {
    return this.#read((db) => clients.selectBlock(db, clientId));
  }

  listAudit(filter: AuditFilter) {
    return this.#read((db) => audits.selectAudit(db, filter));
  }

  appendAudit(event: AuditEvent) {
    return this.#write((db) => audits.appendAudit(db, event));
  }

  setAuditCount(id: number, count: number) {
    return this.#write((db) => audits.updateAuditCount(db, id, count));
  }

  countAudit() {
    return this.#read(audits.countAudit);
  }

  findFirstAudit(span: Parameters<Store['findFirstAudit']>[0]) {
    return this.#read((db) => audits.selectFirstAudit(db, span));
  }

  removeAudit(which: Parameters<Store['removeAudit']>[0], limit: number) {
    return this.#write((db) => audits.deleteAudit(db, which, limit));
  }

  removeOlderThan(before: number, limit: number) {
    return this.#write((db) => uploads.deleteUploadsEndedBefore(db, before, limit));
  }

  getClockRecord() {
    return this.#read(clocks.selectClockRecord);
  }

  saveClockRecord(record: ClockRecord) {
    return this.#write((db) => clocks.updateClockRecord(db, record));
  }

  firstTime(event: string, at: number) {
    return this.#write((db) => clocks.upsertFirstTime(db, event, at));
  }

  ping() {
    // A write, because a full disk can still be read; with a different value each time, because SQLite does not write
    // unchanged pages. No node has this name.
    return this.#write(async (db) => {
      await db
        .insertInto('nodes')
        .values({ nodeId: '', leaseUntil: 0 })
        .onConflict((conflict) =>
          conflict.column('nodeId').doUpdateSet({ leaseUntil: sql`1 - nodes.lease_until` }),
        )
        .execute();
    });
  }

  async close() {
    await this.#queue.idle();
    await this.#closeDatabase();
  }

  async #read<Result>(task: (db: Queries) => Promise<Result>): Promise<Result> {
    try {
      return await this.#queue.read(task);
    } catch (error) {
      throw asStoreError(error);
    }
  }

  async #write<Result>(task: (db: Queries) => Promise<Result>): Promise<Result> {
    try {
      return await this.#queue.write(task);
    } catch (error) {
      throw asStoreError(error);
    }
  }
}

/** All database errors become one class, with their cause; internal errors stay unchanged. */
function asStoreError(error: unknown): unknown {
  if (!isSqliteError(error)) return error;
  return new StoreError(`database error: ${error.message}`, { cause: error });
}
