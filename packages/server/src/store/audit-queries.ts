import type { AuditEvent } from '../domain/ports/store.ts';
import type { Queries } from './queries.ts';

export async function insertAudit(db: Queries, event: AuditEvent): Promise<void> {
  await db
    .insertInto('auditEvents')
    .values({ ...event, detail: JSON.stringify(event.detail) })
    .execute();
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
