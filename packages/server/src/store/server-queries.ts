import { sql } from 'kysely';
import type { ClockRecord } from '../domain/ports/store.ts';
import type { Queries } from './prepared-query.ts';

export async function selectClockRecord(db: Queries): Promise<ClockRecord> {
  const row = await db.selectFrom('clockRecord').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
  return { trustedAt: row.trustedAt, isHeld: row.isHeld === 1 };
}

export async function updateClockRecord(db: Queries, { trustedAt, isHeld }: ClockRecord): Promise<void> {
  await db
    .updateTable('clockRecord')
    .set({ trustedAt, isHeld: isHeld ? 1 : 0 })
    .where('id', '=', 1)
    .execute();
}

/** Stores the earlier of the two: a clock that was ahead at first does not count indefinitely. */
export async function upsertFirstTime(db: Queries, event: string, at: number): Promise<number> {
  const { at: first } = await db
    .insertInto('firstTimes')
    .values({ event, at })
    .onConflict((conflict) =>
      conflict.column('event').doUpdateSet({
        at: sql<number>`case when excluded.at < first_times.at then excluded.at else first_times.at end`,
      }),
    )
    .returning('at')
    .executeTakeFirstOrThrow();
  return first;
}

/**
 * Writes, because a full disk can still be read; each time another value, because SQLite does not write unchanged
 * pages. No node has this name.
 */
export async function writeProbe(db: Queries): Promise<void> {
  await db
    .insertInto('nodes')
    .values({ nodeId: '', leaseUntil: 0 })
    .onConflict((conflict) =>
      conflict.column('nodeId').doUpdateSet({ leaseUntil: sql`1 - nodes.lease_until` }),
    )
    .execute();
}
