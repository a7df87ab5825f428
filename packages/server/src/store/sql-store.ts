import { type Kysely, type SqlBool, type Transaction, sql } from 'kysely';
import type { Client } from '../domain/clients/client.ts';
import type { AuditEvent, ClientFilter, Store, UploadFilter, UploadSave } from '../domain/ports/store.ts';
import { StoreError } from '../domain/ports/store.ts';
import type { PartTotals, Upload, UploadPart } from '../domain/uploads/upload.ts';
import { type ClientRow, fromClientRow } from './client-row.ts';
import type { CommitQueue } from './commit-queue.ts';
import type { Schema } from './schema.ts';
import { fromUploadRow, toUploadRow } from './upload-row.ts';

type Queries = Kysely<Schema> | Transaction<Schema>;
type Announced = Omit<UploadPart, 'etag'>;

const ACTIVE = ['queued', 'preparing', 'uploading', 'completing'] as const;
const ENDED = ['completed', 'failed', 'cancelled', 'expired'] as const;

/** {@link Store} in SQL. Which database it is, its constructor's caller knows. */
export class SqlStore implements Store {
  readonly #queue: CommitQueue<Schema>;
  readonly #closeDatabase: () => Promise<void>;

  constructor(queue: CommitQueue<Schema>, closeDatabase: () => Promise<void>) {
    this.#queue = queue;
    this.#closeDatabase = closeDatabase;
  }

  insertUpload(upload: Upload, audit: AuditEvent): Promise<Upload | undefined> {
    return this.#write(async (db) => {
      const inserted = await db
        .insertInto('uploads')
        .values(toUploadRow(upload))
        .onConflict((conflict) => conflict.columns(['requestedBy', 'idempotencyKey']).doNothing())
        .executeTakeFirst();
      if (inserted.numInsertedOrUpdatedRows === 1n) {
        await insertAudit(db, audit);
        return undefined;
      }
      const row = await db
        .selectFrom('uploads')
        .selectAll()
        .where('requestedBy', '=', upload.requestedBy)
        .where('idempotencyKey', '=', upload.idempotencyKey)
        .executeTakeFirstOrThrow();
      return fromUploadRow(row);
    });
  }

  getUpload(uploadId: string): Promise<Upload | undefined> {
    return this.#read(async (db) => {
      const row = await db
        .selectFrom('uploads')
        .selectAll()
        .where('uploadId', '=', uploadId)
        .executeTakeFirst();
      return row && fromUploadRow(row);
    });
  }

  saveUpload(upload: Upload, save: UploadSave): Promise<boolean> {
    return this.#write(async (db) => {
      const { uploadId, ...row } = toUploadRow(upload);
      const updated = await db
        .updateTable('uploads')
        .set(row)
        .where('uploadId', '=', uploadId)
        .where('version', '=', save.expectedVersion)
        .executeTakeFirst();
      if (updated.numUpdatedRows !== 1n) return false;
      if (save.clearParts === true) await deleteParts(db, uploadId);
      if (save.announced !== undefined) await upsertParts(db, uploadId, save.announced);
      if (save.audit !== undefined) await insertAudit(db, save.audit);
      return true;
    });
  }

  deleteUpload(uploadId: string, audit: AuditEvent): Promise<void> {
    return this.#write(async (db) => {
      await deleteParts(db, uploadId);
      await db.deleteFrom('uploads').where('uploadId', '=', uploadId).execute();
      await insertAudit(db, audit);
    });
  }

  listUploads(filter: UploadFilter): Promise<Upload[]> {
    return this.#uploads((db) => {
      let query = db.selectFrom('uploads').selectAll();
      if (filter.clientId !== undefined) query = query.where('clientId', '=', filter.clientId);
      if (filter.status !== undefined) query = query.where('status', '=', filter.status);
      if (filter.after !== undefined) {
        const { createdAt, uploadId } = filter.after;
        query = query.where((where) =>
          where.or([
            where('createdAt', '<', createdAt),
            where.and([where('createdAt', '=', createdAt), where('uploadId', '<', uploadId)]),
          ]),
        );
      }
      return query.orderBy('createdAt', 'desc').orderBy('uploadId', 'desc').limit(filter.limit);
    });
  }

  listActiveUploads(clientId?: string): Promise<Upload[]> {
    return this.#uploads((db) => {
      let query = db.selectFrom('uploads').selectAll().where('status', 'in', ACTIVE);
      if (clientId !== undefined) query = query.where('clientId', '=', clientId);
      return query.orderBy('createdAt').orderBy('uploadId');
    });
  }

  async lastUpload(clientId: string): Promise<Upload | undefined> {
    const [upload] = await this.listUploads({ clientId, limit: 1 });
    return upload;
  }

  listUploadsChangedSince(since: number, limit: number): Promise<Upload[]> {
    return this.#uploads((db) =>
      db
        .selectFrom('uploads')
        .selectAll()
        .where('updatedAt', '>=', since)
        .orderBy('updatedAt')
        .orderBy('uploadId')
        .limit(limit),
    );
  }

  listOverdueUploads(now: number, limit: number): Promise<Upload[]> {
    return this.#uploads((db) =>
      db
        .selectFrom('uploads')
        .selectAll()
        .where('status', 'in', ['queued', 'preparing', 'uploading'])
        .where('expiresAt', '<=', now)
        .limit(limit),
    );
  }

  listUploadsWithOpenMultipart(limit: number): Promise<Upload[]> {
    return this.#uploads((db) =>
      db
        .selectFrom('uploads')
        .selectAll()
        .where('multipartOpen', '=', 1)
        .where('status', 'in', ENDED)
        .limit(limit),
    );
  }

  countUploadsByStatus(): ReturnType<Store['countUploadsByStatus']> {
    return this.#read(async (db) => {
      const rows = await db
        .selectFrom('uploads')
        .select(['status', (select) => select.fn.countAll<number>().as('count')])
        .groupBy('status')
        .execute();
      return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
    });
  }

  oldestQueuedAt(): Promise<number | undefined> {
    return this.#read(async (db) => {
      const row = await db
        .selectFrom('uploads')
        .select('createdAt')
        .where('status', '=', 'queued')
        .orderBy('createdAt')
        .limit(1)
        .executeTakeFirst();
      return row?.createdAt;
    });
  }

  listParts(uploadId: string): Promise<UploadPart[]> {
    return this.#read((db) =>
      db
        .selectFrom('uploadParts')
        .select(['partNumber', 'sizeBytes', 'crc32', 'sha256', 'md5', 'etag'])
        .where('uploadId', '=', uploadId)
        .orderBy('partNumber')
        .execute(),
    );
  }

  announceParts(uploadId: string, parts: readonly Announced[]): Promise<void> {
    return this.#write((db) => upsertParts(db, uploadId, parts));
  }

  recordUploadedParts(
    uploadId: string,
    parts: readonly { readonly partNumber: number; readonly etag: string }[],
  ): Promise<PartTotals> {
    return this.#write(async (db) => {
      for (const { partNumber, etag } of parts) {
        await db
          .updateTable('uploadParts')
          .set({ etag })
          .where('uploadId', '=', uploadId)
          .where('partNumber', '=', partNumber)
          .execute();
      }
      return db
        .selectFrom('uploadParts')
        .select((select) => [
          select.fn.countAll<number>().as('partsCompleted'),
          select.fn.coalesce(select.fn.sum<number>('sizeBytes'), sql<number>`0`).as('bytesUploaded'),
        ])
        .where('uploadId', '=', uploadId)
        .where('etag', 'is not', null)
        .executeTakeFirstOrThrow();
    });
  }

  openSession(session: Parameters<Store['openSession']>[0]): Promise<{ readonly epoch: number }> {
    const { clientId, sessionId, nodeId, at, description } = session;
    const { platform, capabilities, labels, ...rest } = description;
    const described = {
      ...rest,
      ...platform,
      capabilities: JSON.stringify(capabilities),
      labels: JSON.stringify(labels),
      lastSeenAt: at,
    };
    return this.#write(async (db) => {
      await db
        .insertInto('clients')
        .values({ clientId, firstSeenAt: at, ...described })
        .onConflict((conflict) => conflict.column('clientId').doUpdateSet(described))
        .execute();
      return db
        .insertInto('sessions')
        .values({ clientId, epoch: 1, sessionId, nodeId, connectedSince: at })
        .onConflict((conflict) =>
          conflict.column('clientId').doUpdateSet((update) => ({
            epoch: update('sessions.epoch', '+', 1),
            sessionId,
            nodeId,
            connectedSince: at,
          })),
        )
        .returning('epoch')
        .executeTakeFirstOrThrow();
    });
  }

  closeSession(clientId: string, epoch: number, at: number): Promise<void> {
    return this.#write(async (db) => {
      await db
        .updateTable('sessions')
        .set({ connectedSince: null })
        .where('clientId', '=', clientId)
        .where('epoch', '=', epoch)
        .execute();
      await db
        .updateTable('clients')
        .set({ lastSeenAt: at })
        .where('clientId', '=', clientId)
        .where('lastSeenAt', '<', at)
        .execute();
    });
  }

  closeSessionsOf(nodeId: string, at: number): Promise<void> {
    return this.#write(async (db) => {
      await db
        .updateTable('uploads')
        .set((update) => ({ stalledSince: at, version: update('version', '+', 1), updatedAt: at }))
        .where('status', 'in', ['preparing', 'uploading'])
        .where('stalledSince', 'is', null)
        .where('clientId', 'in', (select) =>
          select.selectFrom('sessions').select('clientId').where('nodeId', '=', nodeId),
        )
        .execute();
      await db
        .updateTable('sessions')
        .set({ connectedSince: null })
        .where('nodeId', '=', nodeId)
        .where('connectedSince', 'is not', null)
        .execute();
    });
  }

  isNewestEpoch(clientId: string, epoch: number): Promise<boolean> {
    return this.#read(async (db) => {
      const row = await db
        .selectFrom('sessions')
        .select('epoch')
        .where('clientId', '=', clientId)
        .executeTakeFirst();
      return row?.epoch === epoch;
    });
  }

  getClient(clientId: string): Promise<Client | undefined> {
    return this.#read(async (db) => {
      const row = await selectClients(db).where('clients.clientId', '=', clientId).executeTakeFirst();
      return row && fromClientRow(row);
    });
  }

  listClients(filter: ClientFilter): Promise<Client[]> {
    return this.#read(async (db) => {
      let query = selectClients(db);
      if (filter.connected !== undefined) {
        query = query.where('sessions.connectedSince', filter.connected ? 'is not' : 'is', null);
      }
      if (filter.label !== undefined) {
        const { name, value } = filter.label;
        query = query.where(
          sql<SqlBool>`exists (select 1 from json_each(clients.labels) where key = ${name} and value = ${value})`,
        );
      }
      if (filter.after !== undefined) query = query.where('clients.clientId', '>', filter.after);
      const rows = await query.orderBy('clients.clientId').limit(filter.limit).execute();
      return rows.map(fromClientRow);
    });
  }

  deleteClient(clientId: string, audit: AuditEvent): Promise<void> {
    return this.#write(async (db) => {
      await db.deleteFrom('clients').where('clientId', '=', clientId).execute();
      await insertAudit(db, audit);
    });
  }

  appendAudit(event: AuditEvent): Promise<void> {
    return this.#write((db) => insertAudit(db, event));
  }

  removeOlderThan(before: number): Promise<number> {
    return this.#write(async (db) => {
      const removed = await db
        .deleteFrom('uploads')
        .where('status', 'in', ENDED)
        .where('multipartOpen', '=', 0)
        .where('completedAt', '<', before)
        .executeTakeFirst();
      await db.deleteFrom('auditEvents').where('at', '<', before).execute();
      return Number(removed.numDeletedRows);
    });
  }

  ping(): Promise<void> {
    // A write, because a full disk still reads.
    return this.#write(async (db) => {
      await sql`update nodes set lease_until = lease_until where node_id = ''`.execute(db);
    });
  }

  async close(): Promise<void> {
    await this.#queue.idle();
    await this.#closeDatabase();
  }

  #uploads(
    query: (db: Queries) => { execute(): Promise<Parameters<typeof fromUploadRow>[0][]> },
  ): Promise<Upload[]> {
    return this.#read(async (db) => (await query(db).execute()).map(fromUploadRow));
  }

  async #read<Result>(task: (db: Kysely<Schema>) => Promise<Result>): Promise<Result> {
    try {
      return await this.#queue.read(task);
    } catch (error) {
      throw asStoreError(error);
    }
  }

  async #write<Result>(task: (db: Transaction<Schema>) => Promise<Result>): Promise<Result> {
    try {
      return await this.#queue.write(task);
    } catch (error) {
      throw asStoreError(error);
    }
  }
}

function selectClients(db: Queries) {
  return db
    .selectFrom('clients')
    .innerJoin('sessions', 'sessions.clientId', 'clients.clientId')
    .selectAll('clients')
    .select(['sessions.epoch', 'sessions.connectedSince'])
    .$castTo<ClientRow>();
}

async function upsertParts(db: Queries, uploadId: string, parts: readonly Announced[]): Promise<void> {
  for (const part of parts) {
    await db
      .insertInto('uploadParts')
      .values({ uploadId, ...part, etag: null })
      .onConflict((conflict) =>
        conflict.columns(['uploadId', 'partNumber']).doUpdateSet((update) => ({
          sizeBytes: part.sizeBytes,
          crc32: part.crc32,
          sha256: part.sha256,
          md5: part.md5,
          // Announced again for a fresh URL, it is still the part S3 has; with other bytes it is not.
          etag: sql`case when ${update.ref('uploadParts.crc32')} = ${part.crc32} then ${update.ref('uploadParts.etag')} end`,
        })),
      )
      .execute();
  }
}

async function deleteParts(db: Queries, uploadId: string): Promise<void> {
  await db.deleteFrom('uploadParts').where('uploadId', '=', uploadId).execute();
}

async function insertAudit(db: Queries, event: AuditEvent): Promise<void> {
  await db
    .insertInto('auditEvents')
    .values({ ...event, detail: JSON.stringify(event.detail) })
    .execute();
}

/** Whatever the database says becomes one class, with its cause; faults of our own stay what they are. */
function asStoreError(error: unknown): unknown {
  const isFromSqlite = error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
  return isFromSqlite ? new StoreError(`the database refused: ${error.message}`, { cause: error }) : error;
}
