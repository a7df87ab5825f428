import type { Kysely } from 'kysely';

/** A cancel that waits for the object store, and the age of a multipart upload. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const uploads = db.schema.alterTable('uploads');
  await uploads.addColumn('cancelRequestedBy', 'text').execute();
  await uploads.addColumn('cancelRequestedAt', 'bigint').execute();
  await uploads.addColumn('multipartCreatedAt', 'bigint').execute();
  await uploads.addColumn('lostAfterMs', 'bigint').execute();
}
