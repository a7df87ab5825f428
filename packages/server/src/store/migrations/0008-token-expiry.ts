import type { Kysely } from 'kysely';

/** When the token ends that a client's newest session began with. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('tokenExpiresAt', 'bigint').execute();
}
