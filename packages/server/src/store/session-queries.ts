import type { Queries } from './queries.ts';

/** Begins a client's next session. Its epoch is one more than the last, even if the client was forgotten meanwhile. */
export function beginSession(
  db: Queries,
  session: { clientId: string; sessionId: string; nodeId: string; at: number },
): Promise<{ readonly epoch: number }> {
  const { clientId, sessionId, nodeId, at } = session;
  return db
    .insertInto('sessions')
    .values({ clientId, epoch: 1, sessionId, nodeId, connectedSince: at })
    .onConflict((conflict) =>
      conflict.column('clientId').doUpdateSet((update) => ({
        epoch: update('sessions.epoch', '+', 1),
        sessionId,
        nodeId,
        connectedSince: at,
      })),
    )
    .returning('epoch')
    .executeTakeFirstOrThrow();
}

/** Unless a newer one has begun. */
export async function endSession(db: Queries, clientId: string, epoch: number): Promise<void> {
  await db
    .updateTable('sessions')
    .set({ connectedSince: null })
    .where('clientId', '=', clientId)
    .where('epoch', '=', epoch)
    .execute();
}

export async function endSessionsOf(db: Queries, nodeId: string): Promise<void> {
  await db
    .updateTable('sessions')
    .set({ connectedSince: null })
    .where('nodeId', '=', nodeId)
    .where('connectedSince', 'is not', null)
    .execute();
}
