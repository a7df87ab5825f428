import { type Kysely, sql } from 'kysely';
import { autoIncrementingKey } from './sqlite-dialect.ts';

/** Column names pass through the CamelCasePlugin as everywhere else. */
export async function createInitialSchema(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('clients')
    .addColumn('clientId', 'text', (column) => column.primaryKey())
    .addColumn('firstSeenAt', 'bigint', (column) => column.notNull())
    .addColumn('lastSeenAt', 'bigint', (column) => column.notNull())
    .addColumn('agentVersion', 'text', (column) => column.notNull())
    .addColumn('os', 'text', (column) => column.notNull())
    .addColumn('arch', 'text', (column) => column.notNull())
    .addColumn('hostname', 'text')
    .addColumn('capabilities', 'text', (column) => column.notNull())
    .addColumn('labels', 'text', (column) => column.notNull())
    .addColumn('defaultFilePath', 'text')
    .execute();

  await db.schema
    .createTable('uploads')
    .addColumn('uploadId', 'text', (column) => column.primaryKey())
    .addColumn('clientId', 'text', (column) => column.notNull())
    .addColumn('filePath', 'text', (column) => column.notNull())
    .addColumn('fileName', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('attempt', 'integer', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('epoch', 'bigint')
    .addColumn('sizeBytes', 'bigint')
    .addColumn('chunkSize', 'bigint')
    .addColumn('partCount', 'integer')
    .addColumn('partsCompleted', 'integer', (column) => column.notNull())
    .addColumn('bytesUploaded', 'bigint', (column) => column.notNull())
    .addColumn('partRetries', 'integer', (column) => column.notNull())
    .addColumn('stalledSince', 'bigint')
    .addColumn('bucket', 'text', (column) => column.notNull())
    .addColumn('key', 'text', (column) => column.notNull())
    .addColumn('s3UploadId', 'text')
    .addColumn('multipartOpen', 'integer', (column) => column.notNull())
    .addColumn('objectToken', 'text')
    .addColumn('checksumMode', 'text')
    .addColumn('fingerprint', 'text')
    .addColumn('sourceModifiedAt', 'bigint')
    .addColumn('etag', 'text')
    .addColumn('versionId', 'text')
    .addColumn('crc32', 'text')
    .addColumn('verification', 'text')
    .addColumn('sha256', 'text')
    .addColumn('serverSideEncryption', 'text')
    .addColumn('storageClass', 'text')
    .addColumn('error', 'text')
    .addColumn('message', 'text')
    .addColumn('requestedBy', 'text', (column) => column.notNull())
    .addColumn('reason', 'text')
    .addColumn('idempotencyKey', 'text')
    .addColumn('batchId', 'text')
    .addColumn('createdAt', 'bigint', (column) => column.notNull())
    .addColumn('updatedAt', 'bigint', (column) => column.notNull())
    .addColumn('startedAt', 'bigint')
    .addColumn('completedAt', 'bigint')
    .addColumn('expiresAt', 'bigint', (column) => column.notNull())
    .addColumn('uploadDurationMs', 'bigint')
    .execute();
  await index('uploads', ['createdAt', 'uploadId']);
  await index('uploads', ['clientId', 'createdAt', 'uploadId']);
  await index('uploads', ['status', 'createdAt']);
  await index('uploads', ['updatedAt', 'uploadId']);
  // Queued and running uploads are few compared with ended ones, and are queried constantly.
  await db.schema
    .createIndex('uploads_unfinished')
    .on('uploads')
    .columns(['status', 'clientId', 'createdAt', 'uploadId'])
    .where(sql<boolean>`completed_at is null`)
    .execute();
  await db.schema
    .createIndex('uploads_deadline')
    .on('uploads')
    .column('expiresAt')
    .where(sql<boolean>`completed_at is null`)
    .execute();
  await db.schema
    .createIndex('uploads_leftovers')
    .on('uploads')
    .column('updatedAt')
    .where(sql<boolean>`multipart_open = 1 and completed_at is not null`)
    .execute();
  await db.schema
    .createIndex('uploads_ended')
    .on('uploads')
    .column('completedAt')
    .where(sql<boolean>`completed_at is not null`)
    .execute();
  await db.schema
    .createIndex('uploads_idempotency')
    .on('uploads')
    .columns(['requestedBy', 'idempotencyKey'])
    .unique()
    .execute();

  await db.schema
    .createTable('uploadParts')
    .addColumn('uploadId', 'text', (column) => column.notNull())
    .addColumn('partNumber', 'integer', (column) => column.notNull())
    .addColumn('sizeBytes', 'bigint', (column) => column.notNull())
    .addColumn('crc32', 'text', (column) => column.notNull())
    .addColumn('sha256', 'text')
    .addColumn('md5', 'text')
    .addColumn('etag', 'text')
    .addPrimaryKeyConstraint('uploadPartsKey', ['uploadId', 'partNumber'])
    .execute();

  await db.schema
    .createTable('sessions')
    .addColumn('clientId', 'text', (column) => column.primaryKey())
    .addColumn('epoch', 'bigint', (column) => column.notNull())
    .addColumn('sessionId', 'text', (column) => column.notNull())
    .addColumn('nodeId', 'text', (column) => column.notNull())
    .addColumn('connectedSince', 'bigint')
    .execute();

  await db.schema
    .createTable('nodes')
    .addColumn('nodeId', 'text', (column) => column.primaryKey())
    .addColumn('leaseUntil', 'bigint', (column) => column.notNull())
    .execute();

  await db.schema
    .createTable('auditEvents')
    .addColumn('id', 'integer', autoIncrementingKey)
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('clientId', 'text')
    .addColumn('uploadId', 'text')
    .addColumn('detail', 'text', (column) => column.notNull())
    .execute();
  await index('auditEvents', ['at']);

  await db.schema
    .createTable('outbox')
    .addColumn('id', 'integer', autoIncrementingKey)
    .addColumn('topic', 'text', (column) => column.notNull())
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('createdAt', 'bigint', (column) => column.notNull())
    .addColumn('deliveredAt', 'bigint')
    .execute();

  async function index(table: string, columns: string[]): Promise<void> {
    await db.schema
      .createIndex(`${table}_${columns.join('_')}`)
      .on(table)
      .columns(columns)
      .execute();
  }
}
