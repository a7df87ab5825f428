import { type Kysely, sql } from 'kysely';

/**
 * A sequence of changes independent of the clock. Existing rows are numbered by their times, and the counter
 * continues from there: an old event id, which starts with such a time, still marks its reader's position.
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
