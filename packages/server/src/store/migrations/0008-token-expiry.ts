import type { Kysely } from 'kysely';

/** Expiry of the token with which a client's newest session started. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('tokenExpiresAt', 'bigint').execute();
}
