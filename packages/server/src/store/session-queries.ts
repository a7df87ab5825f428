import { type Placeholders, PreparedQuery } from './prepared-query.ts';
import type { Queries } from './queries.ts';

interface NewSession {
  readonly clientId: string;
  readonly sessionId: string;
  readonly nodeId: string;
  /** When it started. */
  readonly at: number;
  readonly tokenExpiresAt: number;
  readonly remoteAddress: string | null;
}

const insertNext = new PreparedQuery(
  (db, { clientId, sessionId, nodeId, at, tokenExpiresAt, remoteAddress }: Placeholders<NewSession>) =>
    db
      .insertInto('sessions')
      .values({ clientId, epoch: 1, sessionId, nodeId, connectedSince: at, tokenExpiresAt, remoteAddress })
      .onConflict((conflict) =>
        conflict.column('clientId').doUpdateSet((update) => ({
          epoch: update('sessions.epoch', '+', 1),
          sessionId,
          nodeId,
          connectedSince: at,
          tokenExpiresAt,
          remoteAddress,
        })),
      )
      .returning('epoch'),
);

/** Starts a client's next session. Its epoch is the last one plus one, even if the client was removed meanwhile. */
export function startSession(
  db: Queries,
  { clientId, sessionId, nodeId, at, tokenExpiresAt, remoteAddress }: NewSession,
): Promise<{ readonly epoch: number }> {
  return insertNext.one(db, { clientId, sessionId, nodeId, at, tokenExpiresAt, remoteAddress });
}

const end = new PreparedQuery((db, { clientId, epoch }: Placeholders<{ clientId: string; epoch: number }>) =>
  db
    .updateTable('sessions')
    .set({ connectedSince: null })
    .where('clientId', '=', clientId)
    .where('epoch', '=', epoch),
);

const setExpiry = new PreparedQuery(
  (
    db,
    {
      clientId,
      epoch,
      tokenExpiresAt,
    }: Placeholders<{ clientId: string; epoch: number; tokenExpiresAt: number }>,
  ) =>
    db
      .updateTable('sessions')
      .set({ tokenExpiresAt })
      .where('clientId', '=', clientId)
      .where('epoch', '=', epoch),
);

/** Unless a newer one has started. */
export async function setTokenExpiry(
  db: Queries,
  session: { clientId: string; epoch: number; tokenExpiresAt: number },
): Promise<void> {
  await setExpiry.run(db, session);
}

/** Unless a newer one has started. */
export async function endSession(db: Queries, clientId: string, epoch: number): Promise<void> {
  await end.run(db, { clientId, epoch });
}

export async function endSessionsOf(db: Queries, nodeId: string): Promise<void> {
  await db
    .updateTable('sessions')
    .set({ connectedSince: null })
    .where('nodeId', '=', nodeId)
    .where('connectedSince', 'is not', null)
    .execute();
}
