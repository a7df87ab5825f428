import type { Kysely } from 'kysely';

/** Agents' tokens that were renewed, and those that renewed them; never the tokens themselves. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('chainedTokens')
    .addColumn('tokenId', 'text', (column) => column.primaryKey())
    .addColumn('chainId', 'text', (column) => column.notNull())
    .addColumn('clientId', 'text', (column) => column.notNull())
    .addColumn('issuedAt', 'bigint', (column) => column.notNull())
    .addColumn('expiresAt', 'bigint', (column) => column.notNull())
    .addColumn('firstUsedAt', 'bigint')
    .addColumn('replacedAt', 'bigint')
    .addColumn('stoppedAt', 'bigint')
    .execute();
  await db.schema.createIndex('chainedTokens_clientId').on('chainedTokens').column('clientId').execute();
  await db.schema.createIndex('chainedTokens_expiresAt').on('chainedTokens').column('expiresAt').execute();
}
