import type { Kysely } from 'kysely';

/** Clients blocked by an operator. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('blockedClients')
    .addColumn('clientId', 'text', (column) => column.primaryKey())
    .addColumn('blockedAt', 'bigint', (column) => column.notNull())
    .addColumn('blockedBy', 'text', (column) => column.notNull())
    .addColumn('reason', 'text')
    .execute();
}
