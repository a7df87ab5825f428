import { z } from 'zod';
import type { AuditEvent, AuditFilter, RecordedAudit, Store } from '../domain/ports/store.ts';
import { PreparedQuery, type Queries } from './prepared-query.ts';
import type { AuditEventsTable } from './schema.ts';
import { withoutIndex } from './sqlite-dialect.ts';

type NewRow = Omit<AuditEventsTable, 'id'>;

const insert = new PreparedQuery<NewRow, unknown>((db, row) => db.insertInto('auditEvents').values(row));

const insertWithId = new PreparedQuery<NewRow, { readonly id: number }>((db, row) =>
  db.insertInto('auditEvents').values(row).returning('id'),
);

/** Without its id, which costs each trigger some microseconds. */
export async function insertAudit(db: Queries, event: AuditEvent): Promise<void> {
  await insert.run(db, toRow(event));
}

/** @returns its id. */
export async function appendAudit(db: Queries, event: AuditEvent): Promise<number> {
  const { id } = await insertWithId.one(db, toRow(event));
  return id;
}

function toRow(event: AuditEvent): NewRow {
  const { at, actor, action, clientId, uploadId, address = null, refusal, count = 1 } = event;
  return {
    at,
    actor,
    action,
    clientId,
    uploadId,
    detail: JSON.stringify(event.detail),
    address,
    status: refusal?.status ?? null,
    error: refusal?.error ?? null,
    count,
  };
}

export async function updateAuditCount(db: Queries, id: number, count: number): Promise<void> {
  await db.updateTable('auditEvents').set({ count }).where('id', '=', id).execute();
}

const detailSchema = z.record(z.string(), z.unknown());

/** Each filter has an index in the order of the list. With several filters SQLite uses one of the indexes. */
export function auditQuery(db: Queries, filter: AuditFilter) {
  const { clientId, actor, action, outcome, since, until, after, limit } = filter;
  let query = db.selectFrom('auditEvents').selectAll();
  if (clientId !== undefined) query = query.where('clientId', '=', clientId);
  if (actor !== undefined) query = query.where('actor', '=', actor);
  if (action !== undefined) query = query.where('action', '=', action);
  if (outcome === 'accepted') query = query.where('error', 'is', null);
  else if (outcome !== undefined) {
    // The first condition repeats that of the partial index.
    query = query.where('error', 'is not', null).where('status', outcome === 'refused' ? '<' : '>=', 500);
  }
  if (since !== undefined) query = query.where('at', '>=', since);
  if (until !== undefined) query = query.where('at', '<', until);
  if (after !== undefined) {
    // With `or` alone SQLite would start at the newest event.
    query = query
      .where('at', '<=', after.at)
      .where((where) => where.or([where('at', '<', after.at), where('id', '<', after.id)]));
  }
  return query.orderBy('at', 'desc').orderBy('id', 'desc').limit(limit);
}

export async function selectAudit(db: Queries, filter: AuditFilter): Promise<RecordedAudit[]> {
  const rows = await auditQuery(db, filter).execute();
  return rows.map(({ detail, status, error, ...row }) => ({
    ...row,
    detail: detailSchema.parse(JSON.parse(detail)),
    refusal: status === null || error === null ? null : { status, error },
  }));
}

export async function countAudit(db: Queries): Promise<{ all: number; withoutActor: number }> {
  const count = db.selectFrom('auditEvents').select((select) => select.fn.countAll<number>().as('count'));
  const { count: all } = await count.executeTakeFirstOrThrow();
  const { count: withoutActor } = await count.where('actor', '=', '').executeTakeFirstOrThrow();
  return { all, withoutActor };
}

export async function selectFirstAudit(
  db: Queries,
  { since, until }: Parameters<Store['findFirstAudit']>[0],
): Promise<number | undefined> {
  const row = await db
    .selectFrom('auditEvents')
    .select('id')
    // From the index by time it would have to sort. The event is among the first rows.
    .where(withoutIndex<number>('at'), '>=', since)
    .where(withoutIndex<number>('at'), '<=', until)
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}

export async function deleteAudit(
  db: Queries,
  which: Parameters<Store['removeAudit']>[0],
  limit: number,
): Promise<number> {
  let chosen = db.selectFrom('auditEvents').select('id').limit(limit);
  if (which === 'any') chosen = chosen.orderBy('id');
  else if (which === 'without-actor') chosen = chosen.where('actor', '=', '').orderBy('at').orderBy('id');
  else {
    chosen = chosen.where('at', '<', which.before).orderBy('at');
    if (which.beforeId !== undefined) chosen = chosen.where('id', '<', which.beforeId);
  }
  const removed = await db.deleteFrom('auditEvents').where('id', 'in', chosen).executeTakeFirst();
  return Number(removed.numDeletedRows);
}
