import type { UploadStatus } from '@backhaul/protocol';
import { type SqlBool, sql } from 'kysely';
import type {
  ChangedUpload,
  ChangePosition,
  KeyedUpload,
  Store,
  UploadFilter,
} from '../domain/ports/store.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import { type Placeholders, PreparedQuery, type Queries } from './prepared-query.ts';
import { withoutIndex } from './sqlite-dialect.ts';
import { fromUploadRow, uploadColumns } from './upload-row.ts';

const ACTIVE = ['queued', 'preparing', 'uploading', 'completing'] as const;
const RUNNING = ['preparing', 'uploading'] as const;

const selectById = new PreparedQuery((db, { uploadId }: Placeholders<{ uploadId: string }>) =>
  selectAll(db).where('uploadId', '=', uploadId),
);

export async function selectUpload(db: Queries, uploadId: string): Promise<Upload | undefined> {
  const row = await selectById.first(db, { uploadId });
  return row && fromUploadRow(row);
}

export async function selectByKey(
  db: Queries,
  requestedBy: string,
  idempotencyKey: string,
): Promise<KeyedUpload | undefined> {
  const row = await db
    .selectFrom('uploadKeys')
    .innerJoin('uploads', 'uploads.uploadId', 'uploadKeys.uploadId')
    .select(uploadColumns.map((column) => `uploads.${column}` as const))
    .select('uploadKeys.terms as keyTerms')
    .where('uploadKeys.requestedBy', '=', requestedBy)
    .where('uploadKeys.idempotencyKey', '=', idempotencyKey)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { keyTerms: terms, ...upload } = row;
  return { upload: fromUploadRow(upload), terms };
}

export async function selectUploads(db: Queries, filter: UploadFilter): Promise<Upload[]> {
  let query = selectAll(db);
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
  return run(query.orderBy('createdAt', 'desc').orderBy('uploadId', 'desc').limit(filter.limit));
}

export async function selectActiveUploads(
  db: Queries,
  clientId: string,
  { limit }: { limit: number },
): Promise<Upload[]> {
  return run(
    selectAll(db)
      .where('completedAt', 'is', null)
      .where('status', 'in', ACTIVE)
      .where('clientId', '=', clientId)
      // An expression: for plain columns SQLite would choose the index that is sorted by them, and with it all
      // uploads of the client.
      .orderBy(sql`status = 'queued'`)
      .orderBy(withoutIndex('createdAt'))
      .orderBy(withoutIndex('uploadId'))
      .limit(limit),
  );
}

const selectRunning = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  unfinished(db).where('status', 'in', RUNNING).where('clientId', '=', clientId),
);

export async function selectRunningIds(db: Queries, clientId: string): Promise<string[]> {
  return idsOf(await selectRunning.all(db, { clientId }));
}

export async function selectLastUpload(db: Queries, clientId: string): Promise<Upload | undefined> {
  const [upload] = await selectUploads(db, { clientId, limit: 1 });
  return upload;
}

type QueueQuery = Readonly<Record<'now' | 'latest' | 'limit', number>> & { readonly clientId: string };

const selectQueued = new PreparedQuery((db, { clientId, now, latest, limit }: Placeholders<QueueQuery>) =>
  unfinished(db)
    .where('status', '=', 'queued')
    .where('clientId', '=', clientId)
    .where((where) =>
      where.or([
        where('nextAttemptAt', 'is', null),
        where('nextAttemptAt', '<=', now),
        where('nextAttemptAt', '>', latest),
      ]),
    )
    .orderBy('createdAt')
    .orderBy('uploadId')
    // A sum: SQLite recompiles a statement for each value that is bound directly as a limit.
    .limit(sql<number>`${limit} + 0`),
);

export async function selectQueuedIds(
  db: Queries,
  clientId: string,
  { now, maxWaitMs, limit }: Parameters<Store['listQueuedIds']>[1],
): Promise<string[]> {
  return idsOf(await selectQueued.all(db, { clientId, now, latest: now + maxWaitMs, limit }));
}

export async function selectCompletingIds(db: Queries): Promise<string[]> {
  return ids(unfinished(db).where('status', '=', 'completing'));
}

export async function selectUnansweredIds(
  db: Queries,
  { before, orAfter }: Parameters<Store['listUnansweredIds']>[0],
  limit: number,
): Promise<string[]> {
  return ids(
    unfinished(db)
      .where('status', '=', 'preparing')
      .where('stalledSince', 'is', null)
      .where((where) => where.or([where('startedAt', '<', before), where('startedAt', '>', orAfter)]))
      .limit(limit),
  );
}

export async function selectWaitingClients(db: Queries): Promise<string[]> {
  const rows = await db
    .selectFrom('uploads')
    .select('clientId')
    .distinct()
    .where('completedAt', 'is', null)
    .where('status', '=', 'queued')
    .execute();
  return rows.map(({ clientId }) => clientId);
}

export async function selectChangesAfter(
  db: Queries,
  { change, uploadId }: ChangePosition,
  limit: number,
): Promise<ChangedUpload[]> {
  const rows = await selectAll(db)
    .select('change')
    .where('change', '>=', change)
    .where((where) => where.or([where('change', '>', change), where('uploadId', '>', uploadId)]))
    .orderBy('change')
    .orderBy('uploadId')
    .limit(limit)
    .execute();
  return rows.map(({ change: at, ...row }) => ({ change: at, upload: fromUploadRow(row) }));
}

export async function selectLastChange(db: Queries): Promise<number> {
  const { last } = await db
    .selectFrom('changeCounter')
    .select('last')
    .where('id', '=', 1)
    .executeTakeFirstOrThrow();
  return last;
}

export async function selectOverdueIds(db: Queries, now: number, limit: number): Promise<string[]> {
  return ids(
    unfinished(db)
      .where('status', '!=', 'completing')
      .where('expiresAt', '<=', now)
      .orderBy('expiresAt')
      .limit(limit),
  );
}

export async function selectNextDeadline(db: Queries, now: number): Promise<number | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select('expiresAt')
    .where('completedAt', 'is', null)
    .where('status', '!=', 'completing')
    .where('expiresAt', '>', now)
    .orderBy('expiresAt')
    .limit(1)
    .executeTakeFirst();
  return row?.expiresAt;
}

export async function selectUploadsWithOpenMultipart(db: Queries, limit: number): Promise<Upload[]> {
  return run(
    selectAll(db)
      // A literal, not a parameter: otherwise SQLite does not use the partial index.
      .where(sql<SqlBool>`multipart_open = 1`)
      .where('completedAt', 'is not', null)
      .orderBy('updatedAt')
      .limit(limit),
  );
}

export async function countUnfinished(
  db: Queries,
  filter: Parameters<Store['countUnfinished']>[0],
): Promise<number> {
  const { count } = await ('clientId' in filter
    ? countOfClient.one(db, filter)
    : countOfSubject.one(db, filter));
  return count;
}

const countOfClient = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  selectUnfinishedCount(db).where('clientId', '=', clientId),
);

const countOfSubject = new PreparedQuery((db, { requestedBy }: Placeholders<{ requestedBy: string }>) =>
  selectUnfinishedCount(db).where('requestedBy', '=', requestedBy),
);

function selectUnfinishedCount(db: Queries) {
  return db
    .selectFrom('uploads')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('completedAt', 'is', null);
}

export async function countUploadsByStatus(db: Queries): Promise<Partial<Record<UploadStatus, number>>> {
  const rows = await db
    .selectFrom('uploads')
    .select(['status', (select) => select.fn.countAll<number>().as('count')])
    .groupBy('status')
    .execute();
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

export async function selectOldestQueuedAt(db: Queries): Promise<number | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select('createdAt')
    .where('status', '=', 'queued')
    .orderBy('createdAt')
    .limit(1)
    .executeTakeFirst();
  return row?.createdAt;
}

export async function selectOldestStalledSince(db: Queries): Promise<number | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select('stalledSince')
    // By status, which has an index: ended rows may cover a year.
    .where('status', 'in', ACTIVE)
    .where('stalledSince', 'is not', null)
    .orderBy('stalledSince')
    .limit(1)
    .executeTakeFirst();
  return row?.stalledSince ?? undefined;
}

/** The condition of the partial indexes of unfinished uploads; without it SQLite does not use them. */
function unfinished(db: Queries) {
  return db.selectFrom('uploads').select('uploadId').where('completedAt', 'is', null);
}

async function ids(query: ReturnType<typeof unfinished>): Promise<string[]> {
  return idsOf(await query.execute());
}

function idsOf(rows: readonly { readonly uploadId: string }[]): string[] {
  return rows.map(({ uploadId }) => uploadId);
}

function selectAll(db: Queries) {
  return db.selectFrom('uploads').select(uploadColumns);
}

async function run(query: ReturnType<typeof selectAll>): Promise<Upload[]> {
  return (await query.execute()).map(fromUploadRow);
}
