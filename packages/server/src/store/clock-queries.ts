import { sql } from 'kysely';
import type { ClockRecord, DeadlineMove } from '../domain/ports/store.ts';
import { nextChange } from './change-counter.ts';
import type { Queries } from './queries.ts';

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

export async function moveDeadlines(
  db: Queries,
  { now, jumpMs, maxGraceMs, newSince }: DeadlineMove,
): Promise<number> {
  const latest = now + maxGraceMs;
  const moved = sql<number>`expires_at + ${jumpMs}`;
  let query = db
    .updateTable('uploads')
    .set((update) => ({
      expiresAt:
        jumpMs < 0 ? moved : sql<number>`case when ${moved} < ${latest} then ${moved} else ${latest} end`,
      version: update('version', '+', 1),
      updatedAt: now,
    }))
    .where('completedAt', 'is', null)
    .where('expiresAt', '>', now - jumpMs)
    .where((where) => where.or([where('createdAt', '<', newSince), where('createdAt', '>', now)]));
  if (jumpMs > 0) query = query.where('expiresAt', '<', latest);
  const change = await nextChange(db, now);
  const { numUpdatedRows } = await query.set({ change }).executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Stores the earlier of the two: a clock that was ahead at first does not count indefinitely. */
export async function upsertFirstTime(db: Queries, event: string, at: number): Promise<number> {
  const { at: first } = await db
    .insertInto('firstTimes')
    .values({ event, at })
    .onConflict((conflict) =>
      conflict.column('event').doUpdateSet((row) => ({
        at: row.fn<number>('min', [row.ref('firstTimes.at'), row.ref('excluded.at')]),
      })),
    )
    .returning('at')
    .executeTakeFirstOrThrow();
  return first;
}
