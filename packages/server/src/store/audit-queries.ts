import type { AuditEvent } from '../domain/ports/store.ts';
import type { Queries } from './queries.ts';

export async function insertAudit(db: Queries, event: AuditEvent): Promise<void> {
  await db
    .insertInto('auditEvents')
    .values({ ...event, detail: JSON.stringify(event.detail) })
    .execute();
}

export async function deleteAuditBefore(db: Queries, before: number): Promise<void> {
  await db.deleteFrom('auditEvents').where('at', '<', before).execute();
}
