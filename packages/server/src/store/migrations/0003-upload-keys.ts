import { type Kysely, sql } from 'kysely';

/**
 * Stores idempotency keys separately from uploads, because several requests can share one; and an index that finds
 * the upload to join.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('uploadKeys')
    .addColumn('requestedBy', 'text', (column) => column.notNull())
    .addColumn('idempotencyKey', 'text', (column) => column.notNull())
    .addColumn('uploadId', 'text', (column) => column.notNull())
    .addColumn('terms', 'text')
    .addPrimaryKeyConstraint('uploadKeysKey', ['requestedBy', 'idempotencyKey'])
    .execute();
  await db.schema.createIndex('upload_keys_upload').on('uploadKeys').column('uploadId').execute();
  await sql`
    insert into upload_keys (requested_by, idempotency_key, upload_id)
    select requested_by, idempotency_key, upload_id from uploads where idempotency_key is not null
  `.execute(db);
  await db.schema.dropIndex('uploads_idempotency').execute();
  await db.schema
    .createIndex('uploads_active_file')
    .on('uploads')
    .columns(['clientId', 'filePath', 'createdAt', 'uploadId'])
    .where(sql<boolean>`completed_at is null`)
    .execute();
}
