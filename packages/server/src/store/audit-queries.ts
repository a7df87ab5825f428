import { z } from 'zod';
import type { AuditEvent, AuditFilter, RecordedAudit } from '../domain/ports/store.ts';
import { PreparedQuery } from './prepared-query.ts';
import type { Queries } from './queries.ts';
import type { AuditEventsTable } from './schema.ts';

const insert = new PreparedQuery<Omit<AuditEventsTable, 'id'>, unknown>((db, event) =>
  db.insertInto('auditEvents').values(event),
);

export async function insertAudit(db: Queries, event: AuditEvent): Promise<void> {
  const { at, actor, action, clientId, uploadId, detail } = event;
  await insert.run(db, { at, actor, action, clientId, uploadId, detail: JSON.stringify(detail) });
}

const detailSchema = z.record(z.string(), z.unknown());

export async function selectAudit(db: Queries, filter: AuditFilter): Promise<RecordedAudit[]> {
  const { clientId, actor, action, since, until, before, limit } = filter;
  let query = db.selectFrom('auditEvents').selectAll();
  if (clientId !== undefined) query = query.where('clientId', '=', clientId);
  if (actor !== undefined) query = query.where('actor', '=', actor);
  if (action !== undefined) query = query.where('action', '=', action);
  if (since !== undefined) query = query.where('at', '>=', since);
  if (until !== undefined) query = query.where('at', '<', until);
  if (before !== undefined) query = query.where('id', '<', before);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map(({ detail, ...row }) => ({ ...row, detail: detailSchema.parse(JSON.parse(detail)) }));
}

export async function deleteAuditBefore(db: Queries, before: number, limit: number): Promise<number> {
  const removed = await db
    .deleteFrom('auditEvents')
    .where('id', 'in', (select) =>
      select.selectFrom('auditEvents').select('id').where('at', '<', before).orderBy('at').limit(limit),
    )
    .executeTakeFirst();
  return Number(removed.numDeletedRows);
}
