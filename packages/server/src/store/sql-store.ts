import { StoreError, type Store } from '../domain/ports/store.ts';
import * as audits from './audit-queries.ts';
import * as clients from './client-queries.ts';
import type { CommitQueue } from './commit-queue.ts';
import * as parts from './part-queries.ts';
import type { Queries } from './prepared-query.ts';
import type { Schema } from './schema.ts';
import * as server from './server-queries.ts';
import * as sessions from './session-queries.ts';
import { isSqliteError } from './sqlite-dialect.ts';
import * as tokens from './token-queries.ts';
import * as uploads from './upload-queries.ts';
import * as uploadWrites from './upload-writes.ts';

/** A method of {@link Store} as a query: the same parameters after the database, the same result. */
type Query<Name extends keyof Store> = (
  db: Queries,
  ...parameters: Parameters<Store[Name]>
) => ReturnType<Store[Name]>;

/** Queries that may run outside a transaction. */
const reads = {
  findByIdempotencyKey: uploads.selectByKey,
  getUpload: uploads.selectUpload,
  listUploads: uploads.selectUploads,
  listActiveUploads: uploads.selectActiveUploads,
  listRunningIds: uploads.selectRunningIds,
  listQueuedIds: uploads.selectQueuedIds,
  listCompletingIds: uploads.selectCompletingIds,
  listUnansweredIds: uploads.selectUnansweredIds,
  listWaitingClients: uploads.selectWaitingClients,
  lastUpload: uploads.selectLastUpload,
  listChangesAfter: uploads.selectChangesAfter,
  lastChange: uploads.selectLastChange,
  listOverdueIds: uploads.selectOverdueIds,
  nextDeadline: uploads.selectNextDeadline,
  listUploadsWithOpenMultipart: uploads.selectUploadsWithOpenMultipart,
  countUnfinished: uploads.countUnfinished,
  countUploadsByStatus: uploads.countUploadsByStatus,
  oldestQueuedAt: uploads.selectOldestQueuedAt,
  oldestStalledSince: uploads.selectOldestStalledSince,
  listParts: parts.selectParts,
  getChainedToken: tokens.selectToken,
  getClient: clients.selectClient,
  listClients: clients.selectClients,
  getBlock: clients.selectBlock,
  listAudit: audits.selectAudit,
  countAudit: audits.countAudit,
  findFirstAudit: audits.selectFirstAudit,
  getClockRecord: server.selectClockRecord,
} satisfies { readonly [Name in keyof Store]?: Query<Name> };

/** Queries that run in a transaction each: all that one of them writes is written together. */
const writes = {
  insertUpload: uploadWrites.insertUpload,
  saveUpload: uploadWrites.updateUpload,
  deleteUpload: uploadWrites.deleteUpload,
  removeOlderThan: uploadWrites.deleteUploadsEndedBefore,
  moveDeadlines: uploadWrites.moveDeadlines,
  announceParts: parts.announceParts,
  recordUploadedParts: parts.setEtags,
  openSession: sessions.openSession,
  closeSession: sessions.closeSession,
  closeSessionsOf: sessions.closeSessionsOf,
  setTokenExpiry: sessions.setTokenExpiry,
  offerToken: tokens.offerToken,
  stopRenewal: tokens.stopRenewal,
  removeEndedTokens: tokens.deleteEndedTokens,
  setClientLimits: clients.updateClientLimits,
  deleteClient: clients.deleteClient,
  blockClient: clients.blockClient,
  unblockClient: clients.unblockClient,
  appendAudit: audits.appendAudit,
  setAuditCount: audits.updateAuditCount,
  removeAudit: audits.deleteAudit,
  saveClockRecord: server.updateClockRecord,
  firstTime: server.upsertFirstTime,
  ping: server.writeProbe,
} satisfies { readonly [Name in keyof Store]?: Query<Name> };

/**
 * {@link Store} in SQL: these tables say what is a read and what must be written together. There is one file of
 * queries per table; the caller chooses the database.
 */
export function createSqlStore(queue: CommitQueue<Schema>, closeDatabase: () => Promise<void>): Store {
  return {
    ...methods(reads, (query) => queue.read(query)),
    ...methods(writes, (query) => queue.write(query)),
    close: async () => {
      await queue.idle();
      await closeDatabase();
    },
  };
}

type AnyQuery = (db: Queries, ...parameters: never[]) => Promise<unknown>;

type Methods<Table extends Readonly<Record<string, AnyQuery>>> = {
  readonly [Name in keyof Table]: Table[Name] extends (
    db: Queries,
    ...parameters: infer Given
  ) => infer Result
    ? (...parameters: Given) => Result
    : never;
};

function methods<Table extends Readonly<Record<string, AnyQuery>>>(
  table: Table,
  run: (query: (db: Queries) => Promise<unknown>) => Promise<unknown>,
): Methods<Table> {
  const bound = Object.entries(table).map(([name, query]) => [
    name,
    async (...parameters: never[]) => {
      try {
        return await run((db) => query(db, ...parameters));
      } catch (error) {
        throw asStoreError(error);
      }
    },
  ]);
  return Object.fromEntries(bound) as Methods<Table>;
}

/** All database errors become one class, with their cause; internal errors stay unchanged. */
function asStoreError(error: unknown): unknown {
  if (!isSqliteError(error)) return error;
  return new StoreError(`database error: ${error.message}`, { cause: error });
}
