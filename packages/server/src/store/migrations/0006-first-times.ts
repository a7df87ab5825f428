import type { Kysely } from 'kysely';

/**
 * When something first happened on this database, e.g. the first start of a version that changes what tokens permit.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('firstTimes')
    .addColumn('event', 'text', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
}
