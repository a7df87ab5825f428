import type { Kysely } from 'kysely';

/** Limits of one upload, and of all uploads of a client; JSON. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('uploads').addColumn('limits', 'text').execute();
  await db.schema.alterTable('clients').addColumn('limits', 'text').execute();
}
