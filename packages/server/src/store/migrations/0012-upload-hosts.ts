import type { Kysely } from 'kysely';

/** The machine that started sending an upload's parts. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('uploads').addColumn('hostId', 'text').execute();
}
