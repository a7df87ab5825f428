import { sql } from 'kysely';
import { type Placeholders, PreparedQuery } from './prepared-query.ts';
import type { Queries } from './queries.ts';

const increase = new PreparedQuery((db, { at }: Placeholders<{ at: number }>) =>
  db
    .updateTable('changeCounter')
    .set({ last: sql<number>`case when last < ${at} then ${at} else last + 1 end` })
    .where('id', '=', 1)
    .returning('last'),
);

/**
 * The number of a change, greater than all before it. Call it in the transaction that makes the change: with one
 * connection, numbers become visible in sequence.
 *
 * @param at Time of the change. If it is ahead of the counter, the counter follows, so that a database restored from
 *   a backup does not reuse numbers that readers have already seen.
 */
export async function nextChange(db: Queries, at: number): Promise<number> {
  return (await increase.one(db, { at })).last;
}

export async function selectLastChange(db: Queries): Promise<number> {
  const { last } = await db
    .selectFrom('changeCounter')
    .select('last')
    .where('id', '=', 1)
    .executeTakeFirstOrThrow();
  return last;
}
