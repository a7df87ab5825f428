import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { createInitialSchema } from './initial-schema.ts';

/** In sequence. A released migration is never edited; a change is a new one, at the end. */
export const migrations: Record<string, Migration> = {
  '0001-initial': { up: createInitialSchema },
  '0002-resume': { up: resume },
  '0003-upload-keys': { up: uploadKeys },
  '0004-change-order': { up: changeOrder },
  '0005-clock-record': { up: clockRecord },
  '0006-first-times': { up: firstTimes },
  '0007-patience': { up: patience },
  '0008-token-expiry': { up: tokenExpiry },
  '0009-blocked-clients': { up: blockedClients },
  '0010-remote-address': { up: remoteAddress },
  '0011-upload-limits': { up: uploadLimits },
  '0012-upload-hosts': { up: uploadHosts },
  '0013-renewed-tokens': { up: renewedTokens },
  '0014-audit-outcome': { up: auditOutcome },
};

/** Columns that an upload needs to resume after an interruption. */
async function resume(db: Kysely<unknown>): Promise<void> {
  // One at a time: SQLite adds one column per statement.
  const uploads = db.schema.alterTable('uploads');
  await uploads.addColumn('onChange', 'text', (column) => column.notNull().defaultTo('fail')).execute();
  await uploads.addColumn('setbacks', 'integer', (column) => column.notNull().defaultTo(0)).execute();
  await uploads.addColumn('restarts', 'integer', (column) => column.notNull().defaultTo(0)).execute();
  await uploads
    .addColumn('refusedCompletions', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await uploads.addColumn('nextAttemptAt', 'bigint').execute();
  await uploads.addColumn('stalledReason', 'text').execute();
}

/**
 * Stores idempotency keys separately from uploads, because several requests can share one; and an index that finds
 * the upload to join.
 */
async function uploadKeys(db: Kysely<unknown>): Promise<void> {
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

/**
 * A sequence of changes independent of the clock. Existing rows are numbered by their times, and the counter
 * continues from there: an old event id, which starts with such a time, still marks its reader's position.
 */
async function changeOrder(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('uploads')
    .addColumn('change', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
  await sql`update uploads set change = updated_at`.execute(db);
  await db.schema.dropIndex('uploads_updatedAt_uploadId').execute();
  await db.schema.createIndex('uploads_change').on('uploads').columns(['change', 'uploadId']).execute();

  await db.schema
    .createTable('changeCounter')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('last', 'bigint', (column) => column.notNull())
    .execute();
  await sql`
    insert into change_counter (id, last) select 1, coalesce(max(change), 0) from uploads
  `.execute(db);
}

/** What retention remembers about the clock; in an existing database, its newest time. */
async function clockRecord(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('clockRecord')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('trustedAt', 'bigint')
    .addColumn('isHeld', 'integer', (column) => column.notNull())
    .execute();
  await sql`
    insert into clock_record (id, trusted_at, is_held)
    select 1, max(at), 0 from (
      select max(updated_at) as at from uploads
      union all select max(at) from audit_events
      union all select max(last_seen_at) from clients
    ) as newest
  `.execute(db);
}

/**
 * When something first happened on this database, e.g. the first start of a version that changes what tokens permit.
 */
async function firstTimes(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('firstTimes')
    .addColumn('event', 'text', (column) => column.primaryKey())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
}

/** A cancel that waits for the object store, and the age of a multipart upload. */
async function patience(db: Kysely<unknown>): Promise<void> {
  const uploads = db.schema.alterTable('uploads');
  await uploads.addColumn('cancelRequestedBy', 'text').execute();
  await uploads.addColumn('cancelRequestedAt', 'bigint').execute();
  await uploads.addColumn('multipartCreatedAt', 'bigint').execute();
  await uploads.addColumn('lostAfterMs', 'bigint').execute();
}

/** Expiry of the token with which a client's newest session started. */
async function tokenExpiry(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('tokenExpiresAt', 'bigint').execute();
}

/** Clients blocked by an operator. */
async function blockedClients(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('blockedClients')
    .addColumn('clientId', 'text', (column) => column.primaryKey())
    .addColumn('blockedAt', 'bigint', (column) => column.notNull())
    .addColumn('blockedBy', 'text', (column) => column.notNull())
    .addColumn('reason', 'text')
    .execute();
}

/** The address of a client's newest session. */
async function remoteAddress(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sessions').addColumn('remoteAddress', 'text').execute();
}

/** Limits of one upload, and of all uploads of a client; JSON. */
async function uploadLimits(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('uploads').addColumn('limits', 'text').execute();
  await db.schema.alterTable('clients').addColumn('limits', 'text').execute();
}

/** The machine that started sending an upload's parts. */
async function uploadHosts(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('uploads').addColumn('hostId', 'text').execute();
}

/** Agents' tokens that were renewed, and those that renewed them; never the tokens themselves. */
async function renewedTokens(db: Kysely<unknown>): Promise<void> {
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

/**
 * Address and outcome of audited requests; until now only accepted requests were recorded. The indexes are in the order of
 * the list, one for each filter; SQLite appends the id to each.
 */
async function auditOutcome(db: Kysely<unknown>): Promise<void> {
  const add = db.schema.alterTable('auditEvents');
  await add.addColumn('address', 'text').execute();
  await add.addColumn('status', 'integer').execute();
  await add.addColumn('error', 'text').execute();
  await add.addColumn('count', 'integer', (column) => column.notNull().defaultTo(1)).execute();
  for (const filter of ['clientId', 'actor', 'action']) {
    await db.schema.createIndex(`auditEvents_${filter}`).on('auditEvents').columns([filter, 'at']).execute();
  }
  await db.schema
    .createIndex('audit_events_refused')
    .on('auditEvents')
    .column('at')
    .where(sql<boolean>`error is not null`)
    .execute();
}
