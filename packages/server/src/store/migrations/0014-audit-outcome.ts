import { type Kysely, sql } from 'kysely';

/**
 * Address and outcome of audited requests; until now only accepted requests were recorded. The indexes are in the order of
 * the list, one for each filter; SQLite appends the id to each.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const add = db.schema.alterTable('auditEvents');
  await add.addColumn('address', 'text').execute();
  await add.addColumn('status', 'integer').execute();
  await add.addColumn('error', 'text').execute();
  await add.addColumn('count', 'integer', (column) => column.notNull().defaultTo(1)).execute();
  for (const filter of ['clientId', 'actor', 'action']) {
    await db.schema.createIndex(`auditEvents_${filter}`).on('auditEvents').columns([filter, 'at']).execute();
  }
  await db.schema
    .createIndex('audit_events_refused')
    .on('auditEvents')
    .column('at')
    .where(sql<boolean>`error is not null`)
    .execute();
}
