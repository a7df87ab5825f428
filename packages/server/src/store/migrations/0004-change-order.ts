import { type Kysely, sql } from 'kysely';

/**
 * An order of changes that no clock can turn round. Rows of before keep the order that their times gave, and the
 * counter goes on from there: an event id of before, which begins with such a time, still says where its reader was.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('uploads')
    .addColumn('change', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  await sql`update uploads set change = updated_at`.execute(db);
  await db.schema.dropIndex('uploads_updatedAt_uploadId').execute();
  await db.schema.createIndex('uploads_change').on('uploads').columns(['change', 'uploadId']).execute();

  await db.schema
    .createTable('changeCounter')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('last', 'bigint', (column) => column.notNull())
    .execute();
  await sql`
    insert into change_counter (id, last) select 1, coalesce(max(change), 0) from uploads
  `.execute(db);
}
