import type { Kysely } from 'kysely';

/** The address of a client's newest session. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('remoteAddress', 'text').execute();
}
