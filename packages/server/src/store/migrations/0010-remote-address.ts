import type { Kysely } from 'kysely';

/** Where a client's newest session came from. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('remoteAddress', 'text').execute();
}
