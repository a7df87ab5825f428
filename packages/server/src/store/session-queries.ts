import type { Store } from '../domain/ports/store.ts';
import { touchClient, upsertClient } from './client-queries.ts';
import { type Placeholders, PreparedQuery, type Queries } from './prepared-query.ts';
import { useToken } from './token-queries.ts';
import { stallUploadsOf } from './upload-writes.ts';

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

export async function openSession(
  db: Queries,
  session: Parameters<Store['openSession']>[0],
): Promise<{ readonly epoch: number } | undefined> {
  const { clientId, token, at } = session;
  if (!(await useToken(db, clientId, { token, at }))) return undefined;
  await upsertClient(db, clientId, session);
  return startSession(db, { ...session, tokenExpiresAt: token.expiresAt });
}

/** Its epoch is that of the client's last session plus one, even if the client was removed meanwhile. */
function startSession(
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
  clientId: string,
  epoch: number,
  tokenExpiresAt: number,
): Promise<void> {
  await setExpiry.run(db, { clientId, epoch, tokenExpiresAt });
}

export async function closeSession(db: Queries, clientId: string, epoch: number, at: number): Promise<void> {
  // Unless a newer one has started.
  await end.run(db, { clientId, epoch });
  await touchClient(db, clientId, at);
}

export async function closeSessionsOf(
  db: Queries,
  nodeId: string,
  options: { readonly at: number; readonly reason: string },
): Promise<void> {
  await stallUploadsOf(db, nodeId, options);
  await db
    .updateTable('sessions')
    .set({ connectedSince: null })
    .where('nodeId', '=', nodeId)
    .where('connectedSince', 'is not', null)
    .execute();
}
