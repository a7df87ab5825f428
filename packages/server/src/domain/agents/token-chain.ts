import { tokenKinds } from '@backhaul/protocol';
import type { SessionToken } from './session.ts';

/**
 * Share of its lifetime after which a token is renewed. The rest has to last for a disconnected agent, and is more
 * than the quarter at which the expiry alert fires.
 */
const RENEW_AFTER_SHARE = 2 / 3;
/** A renewed token is backdated by this, or by a tenth of its lifetime: servers' and operators' clocks differ. */
const BACKDATE_MS = 60_000;
const SECOND_MS = 1000;

/**
 * A token that was renewed, or that renewed another one. Tokens that go back to one operator's token form a chain: at
 * most one of them is in use, and later ones have not been used yet. Times are milliseconds since the epoch.
 */
export interface ChainedToken {
  readonly tokenId: string;
  /** The operator's token at the start of the chain. */
  readonly chainId: string;
  readonly clientId: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Null until the first connection with it. */
  readonly firstUsedAt: number | null;
  /** It is refused since then. */
  readonly replacedAt: number | null;
  /** It is not renewed since then: a replaced token of this client was used. */
  readonly stoppedAt: number | null;
}

/** Prefix of renewed tokens' ids, so that none of them equals an id that an operator's program writes into tokens. */
const RENEWED_PREFIX = 'backhaul-renewal:';

/** Its `jti`. */
export function renewedTokenId(renewalId: string): string {
  return RENEWED_PREFIX + renewalId;
}

export function renewalIdOf(tokenId: string): string {
  return tokenId.slice(RENEWED_PREFIX.length);
}

export function isRenewedTokenId(jti: unknown): jti is string {
  return typeof jti === 'string' && jti.startsWith(RENEWED_PREFIX);
}

type Dated = Pick<SessionToken, 'id' | 'issuedAt' | 'expiresAt'>;

/** When it is due for renewal; a token of the previous secret always is. */
export function renewalDueAt({ issuedAt, expiresAt }: Pick<ChainedToken, 'issuedAt' | 'expiresAt'>): number {
  return issuedAt + (expiresAt - issuedAt) * RENEW_AFTER_SHARE;
}

/**
 * The tokens that a session starting with this token replaces.
 *
 * @param known Recorded tokens of this client.
 * @returns ids; `refused` if the token itself was replaced meanwhile.
 */
export function tokensReplacedBy(
  known: readonly ChainedToken[],
  { id, issuedAt }: Pick<Dated, 'id' | 'issuedAt'>,
): readonly string[] | 'refused' {
  const own = known.find(({ tokenId }) => tokenId === id);
  if (own === undefined) return isLaterThanStopped(known, issuedAt) ? idsOf(known.filter(isStopped)) : [];
  if (own.replacedAt !== null) return 'refused';
  // Its successors can only have been created since then.
  if (own.firstUsedAt !== null) return [];
  return idsOf(known.filter(({ tokenId, chainId }) => chainId === own.chainId && tokenId !== id));
}

/**
 * Chains that end because an operator's later token is used: their tokens stay valid until they expire, but are not
 * renewed again. Otherwise a copy of a token that was replaced by hand could be renewed indefinitely, without an alarm.
 *
 * @param known Recorded tokens of this client.
 * @returns ids of tokens; none if the later token is recorded itself.
 */
export function tokensEndedBy(
  known: readonly ChainedToken[],
  { id, issuedAt }: Pick<Dated, 'id' | 'issuedAt'>,
): string[] {
  if (known.some(({ tokenId }) => tokenId === id) || !isLaterThanStopped(known, issuedAt)) return [];
  const startedEarlier = new Set(
    known.filter((one) => one.issuedAt < issuedAt).map(({ chainId }) => chainId),
  );
  return known
    .filter((one) => startedEarlier.has(one.chainId) && !isStopped(one))
    .map(({ tokenId }) => tokenId);
}

/** The record of an operator's token that ended other chains, so that it is not taken for one of theirs. */
export function chainStartedWith(
  { id, issuedAt, expiresAt }: Dated,
  { clientId, at }: { clientId: string; at: number },
): ChainedToken {
  const state = { firstUsedAt: at, replacedAt: null, stoppedAt: null };
  return { tokenId: id, chainId: id, clientId, issuedAt, expiresAt, ...state };
}

/**
 * The renewed token to offer for a token, and the tokens to record for that.
 *
 * @param known Recorded tokens of this client.
 * @param newId Id for a token that has to be created.
 * @returns undefined if the token must not be renewed.
 */
export function renewalOf(
  known: readonly ChainedToken[],
  token: Dated & { readonly clientId: string },
  { now, newId }: { now: number; newId: string },
): { readonly offered: ChainedToken; readonly unrecorded: readonly ChainedToken[] } | undefined {
  const { clientId, issuedAt, expiresAt } = token;
  const own = known.find(({ tokenId }) => tokenId === token.id);
  if (own === undefined ? !isLaterThanStopped(known, issuedAt) : !isGood(own)) return undefined;
  const unused = known.find(
    (one) =>
      one.chainId === own?.chainId && one.firstUsedAt === null && isGood(one) && now < renewalDueAt(one),
  );
  if (unused !== undefined) return { offered: unused, unrecorded: [] };
  const lifeMs = expiresAt - issuedAt;
  const dated = wholeSeconds(now - Math.min(BACKDATE_MS, lifeMs / 10));
  // Agents keep the later one.
  const laterThan = Math.max(issuedAt, ...known.filter(isOfChain(own)).map((one) => one.issuedAt));
  const renewedAt = Math.max(dated, laterThan + SECOND_MS);
  const chainId = own?.chainId ?? token.id;
  const unknown = { chainId, clientId, replacedAt: null, stoppedAt: null };
  const offered = {
    ...unknown,
    tokenId: newId,
    issuedAt: renewedAt,
    expiresAt: renewedAt + lifeMs,
    firstUsedAt: null,
  };
  const first = { ...unknown, tokenId: token.id, issuedAt, expiresAt, firstUsedAt: now };
  return { offered, unrecorded: own === undefined ? [first, offered] : [offered] };
}

/**
 * Until when a row is needed: a token is accepted for some seconds after its expiry, and the clock may be changed. In
 * a stopped chain, for as long as an operator's token from before may exist.
 */
export function removableBefore(now: number): { readonly ended: number; readonly stoppedIssued: number } {
  const ended = now - 86_400_000;
  return { ended, stoppedIssued: ended - tokenKinds.agent.maxAgeSeconds * SECOND_MS };
}

function isGood({ replacedAt, stoppedAt }: ChainedToken): boolean {
  return replacedAt === null && stoppedAt === null;
}

function isStopped({ stoppedAt }: ChainedToken): boolean {
  return stoppedAt !== null;
}

function isOfChain(own: ChainedToken | undefined): (one: ChainedToken) => boolean {
  return ({ chainId }) => chainId === own?.chainId;
}

/** For an operator's token. A thief has at most earlier ones. */
function isLaterThanStopped(known: readonly ChainedToken[], issuedAt: number): boolean {
  return known.every((one) => !isStopped(one) || one.issuedAt <= issuedAt);
}

function idsOf(tokens: readonly ChainedToken[]): string[] {
  return tokens.filter(({ replacedAt }) => replacedAt === null).map(({ tokenId }) => tokenId);
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / SECOND_MS) * SECOND_MS;
}
