import type { AuditEvent } from '../domain/ports/store.ts';
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

export async function deleteAuditBefore(db: Queries, before: number, limit: number): Promise<number> {
  const removed = await db
    .deleteFrom('auditEvents')
    .where('id', 'in', (select) =>
      select.selectFrom('auditEvents').select('id').where('at', '<', before).orderBy('at').limit(limit),
    )
    .executeTakeFirst();
  return Number(removed.numDeletedRows);
}
