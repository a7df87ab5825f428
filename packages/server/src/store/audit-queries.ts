import type { AuditEvent } from '../domain/ports/store.ts';
import { compiledOnce } from './compiled-once.ts';
import type { Queries } from './queries.ts';

/** With each command, and most changes of uploads. Its parameters are the values in this order. */
const insert = compiledOnce((db: Queries) =>
  db
    .insertInto('auditEvents')
    .values({ at: 0, actor: '', action: '', clientId: '', uploadId: '', detail: '' })
    .compile(),
);

export async function insertAudit(db: Queries, event: AuditEvent): Promise<void> {
  const { at, actor, action, clientId, uploadId, detail } = event;
  const parameters = [at, actor, action, clientId, uploadId, JSON.stringify(detail)];
  await db.executeQuery({ ...insert(db), parameters });
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
