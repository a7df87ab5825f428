import type { SessionToken } from '../domain/agents/session.ts';
import {
  type ChainedToken,
  chainStartedWith,
  removableBefore,
  renewalOf,
  tokensEndedBy,
  tokensReplacedBy,
} from '../domain/agents/token-chain.ts';
import { selectBlock } from './client-queries.ts';
import { type Placeholders, PreparedQuery, type Queries } from './prepared-query.ts';

const byId = new PreparedQuery((db, { tokenId }: Placeholders<{ tokenId: string }>) =>
  db.selectFrom('chainedTokens').selectAll().where('tokenId', '=', tokenId),
);

export function selectToken(db: Queries, tokenId: string): Promise<ChainedToken | undefined> {
  return byId.first(db, { tokenId });
}

const byClient = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  db.selectFrom('chainedTokens').selectAll().where('clientId', '=', clientId).orderBy('issuedAt', 'desc'),
);

/**
 * Must run in one transaction with the session that starts with the token: only the use of its successor replaces a
 * token.
 *
 * @returns false if the token itself was replaced.
 */
export async function useToken(
  db: Queries,
  clientId: string,
  { token, at }: { token: Pick<SessionToken, 'id' | 'issuedAt' | 'expiresAt'>; at: number },
): Promise<boolean> {
  const known = await byClient.all(db, { clientId });
  if (known.length === 0) return true;
  const replaced = tokensReplacedBy(known, token);
  if (replaced === 'refused') return false;
  if (replaced.length > 0) {
    await db
      .updateTable('chainedTokens')
      .set({ replacedAt: at })
      .where('tokenId', 'in', replaced)
      .where('replacedAt', 'is', null)
      .execute();
  }
  const ended = tokensEndedBy(known, token);
  if (ended.length > 0) {
    await db.updateTable('chainedTokens').set({ stoppedAt: at }).where('tokenId', 'in', ended).execute();
    await db.insertInto('chainedTokens').values(chainStartedWith(token, { clientId, at })).execute();
  }
  if (known.some(({ tokenId, firstUsedAt }) => tokenId === token.id && firstUsedAt === null)) {
    await db
      .updateTable('chainedTokens')
      .set({ firstUsedAt: at })
      .where('tokenId', '=', token.id)
      .where('firstUsedAt', 'is', null)
      .execute();
  }
  return true;
}

/** Must run in one transaction (read-then-write). */
export async function offerToken(
  db: Queries,
  token: Parameters<typeof renewalOf>[1],
  options: { readonly now: number; readonly newId: string },
): Promise<ChainedToken | undefined> {
  const { clientId } = token;
  if ((await selectBlock(db, clientId)) !== undefined) return undefined;
  const renewal = renewalOf(await byClient.all(db, { clientId }), token, options);
  if (renewal === undefined) return undefined;
  const { offered, unrecorded } = renewal;
  if (unrecorded.length > 0) await db.insertInto('chainedTokens').values(unrecorded).execute();
  return offered;
}

export async function stopRenewal(db: Queries, clientId: string, at: number): Promise<void> {
  await db
    .updateTable('chainedTokens')
    .set({ stoppedAt: at })
    .where('clientId', '=', clientId)
    .where('stoppedAt', 'is', null)
    .execute();
}

export async function deleteEndedTokens(db: Queries, now: number, limit: number): Promise<number> {
  const { ended, stoppedIssued } = removableBefore(now);
  const removable = db
    .selectFrom('chainedTokens')
    .select('tokenId')
    .where('expiresAt', '<', ended)
    .where((where) => where.or([where('stoppedAt', 'is', null), where('issuedAt', '<', stoppedIssued)]))
    .limit(limit);
  const { numDeletedRows } = await db
    .deleteFrom('chainedTokens')
    .where('tokenId', 'in', removable)
    .executeTakeFirst();
  return Number(numDeletedRows);
}
