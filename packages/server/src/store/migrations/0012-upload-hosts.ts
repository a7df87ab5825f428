import type { Kysely } from 'kysely';

/** On which machine the parts of an upload were begun to be sent. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('uploads').addColumn('hostId', 'text').execute();
}
