import { type Kysely, sql } from 'kysely';

/** What retention remembers about the clock; in an existing database, its newest time. */
export async function up(db: Kysely<unknown>): Promise<void> {
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
