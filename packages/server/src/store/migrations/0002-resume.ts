import type { Kysely } from 'kysely';

/** Columns that an upload needs to resume after an interruption. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // One at a time: SQLite adds one column per statement.
  const uploads = db.schema.alterTable('uploads');
  await uploads.addColumn('onChange', 'text', (column) => column.notNull().defaultTo('fail')).execute();
  await uploads.addColumn('setbacks', 'integer', (column) => column.notNull().defaultTo(0)).execute();
  await uploads.addColumn('restarts', 'integer', (column) => column.notNull().defaultTo(0)).execute();
  await uploads
    .addColumn('refusedCompletions', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await uploads.addColumn('nextAttemptAt', 'bigint').execute();
  await uploads.addColumn('stalledReason', 'text').execute();
}
