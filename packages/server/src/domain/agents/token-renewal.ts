import { BackhaulError, TOKEN_RENEWAL_CAPABILITY, type TokenStored } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { AgentSession, SessionRegistry, SessionToken } from './session.ts';
import { type ChainedToken, renewalDueAt, renewalIdOf, renewedTokenId } from './token-chain.ts';

/** Even an agent with a slow disk has stored the token by then; the delay doubles each time. */
const REPEAT_AFTER_MS = 60_000;
/** Maximum number of offers in one session. The next session offers the token again. */
const MAX_OFFERS = 6;
/** Maximum number of offers in one round: after a change of JWT_SECRET all agents are due at once. */
const MAX_IN_ROUND = 500;

/** Creates the recorded token with the claims of the one that it renews; deterministic. */
export type SignToken = (
  token: Pick<ChainedToken, 'tokenId' | 'issuedAt' | 'expiresAt'>,
  claims: SessionToken['claims'],
) => Promise<string>;

export const renewalOutcomes = ['offered', 'stored', 'given_up'] as const;
export type RenewalOutcome = (typeof renewalOutcomes)[number];

interface TokenRenewalDeps {
  readonly store: Store;
  readonly sessions: SessionRegistry;
  readonly clock: Clock;
  readonly log: Log;
  /** Null if tokens are not renewed. Replaced tokens stay replaced. */
  readonly sign: SignToken | null;
  readonly observe: (outcome: RenewalOutcome) => void;
  /** Aborts when the server starts to stop. */
  readonly signal: AbortSignal;
}

/** The token offered in one session. */
interface Offer {
  readonly renewalId: string;
  readonly expiresAt: number;
  readonly offers: number;
  /** By the monotonic clock. */
  readonly repeatAt: number;
  readonly isStored: boolean;
}

/** Refuses a connection with a token whose renewed token has already been used. */
class TokenReplaced extends BackhaulError {
  constructor(replacedAt: number) {
    const at = new Date(replacedAt).toISOString();
    super(
      'unauthorized',
      `The token was replaced: its renewed token was first used on ${at}. This is an older copy.`,
      { reason: 'token_replaced' },
    );
  }
}

/**
 * Renews agents' tokens over their connections, so that no token expires while its agent is connected. The previous
 * token stays valid until the renewed one is first used: whatever message is lost, one of the two works.
 */
export class TokenRenewal {
  readonly #deps: TokenRenewalDeps;
  /** Null for a session that gets no further offers. */
  readonly #offers = new WeakMap<AgentSession, Offer | null>();

  constructor(deps: TokenRenewalDeps) {
    this.#deps = deps;
  }

  /**
   * Called before the upgrade. Two parties have the token: the agent that renewed it, or a copy of it, lost the
   * renewed one; or a copy was used to renew it. It is unknown which of them is the thief, so renewal stops.
   *
   * @throws BackhaulError `unauthorized`
   */
  async mustNotBeReplaced(clientId: string, tokenId: string): Promise<void> {
    const token = await this.#deps.store.getChainedToken(tokenId);
    if (token === undefined || token.replacedAt === null) return;
    if (token.stoppedAt === null) {
      await this.#deps.store.stopRenewal(clientId, this.#deps.clock.now());
      this.#deps.log.warn(
        { clientId, replacedAt: new Date(token.replacedAt).toISOString() },
        'a replaced token was used; tokens of this client are not renewed until an operator issues a new one',
      );
    }
    throw new TokenReplaced(token.replacedAt);
  }

  /** Runs one round. Requires a trusted clock: agents store its times in their tokens. */
  async renewDue(): Promise<void> {
    const sign = this.#deps.sign;
    if (sign === null) return;
    let left = MAX_IN_ROUND;
    for (const session of [...this.#deps.sessions.all()]) {
      if (!this.#isDue(session)) continue;
      if (left === 0 || this.#deps.signal.aborted) return;
      left -= 1;
      await this.#offer(session, sign);
    }
  }

  /** The agent has stored the token on its disk. */
  async stored(session: AgentSession, { renewal_id: renewalId }: TokenStored): Promise<void> {
    const offer = this.#offers.get(session);
    // From an earlier session, or invented.
    if (offer == null || offer.renewalId !== renewalId || offer.isStored) return;
    // Before the offer counts as stored: the message is handled again if the database cannot be written.
    await this.#deps.store.setTokenExpiry(session.clientId, session.epoch, offer.expiresAt);
    this.#offers.set(session, { ...offer, isStored: true });
    this.#deps.observe('stored');
    this.#deps.log.info({ clientId: session.clientId, renewalId }, 'renewed token stored by the agent');
  }

  /** The token that this agent will connect with next, as far as the server knows. */
  nextToken(session: AgentSession): Pick<SessionToken, 'issuedAt' | 'expiresAt' | 'isOfPreviousSecret'> {
    const offer = this.#offers.get(session);
    if (offer?.isStored !== true) return session.token;
    const lifeMs = session.token.expiresAt - session.token.issuedAt;
    const { expiresAt } = offer;
    return { issuedAt: expiresAt - lifeMs, expiresAt, isOfPreviousSecret: false };
  }

  #isDue(session: AgentSession): boolean {
    if (
      !session.capabilities.has(TOKEN_RENEWAL_CAPABILITY) ||
      this.#deps.sessions.get(session.clientId) !== session
    )
      return false;
    const offer = this.#offers.get(session);
    if (offer === null) return false;
    if (offer !== undefined) return !offer.isStored && this.#deps.clock.elapsed() >= offer.repeatAt;
    const { token } = session;
    return token.isOfPreviousSecret || this.#deps.clock.now() >= renewalDueAt(token);
  }

  async #offer(session: AgentSession, sign: SignToken): Promise<void> {
    const { clientId, token } = session;
    const { offers } = this.#offers.get(session) ?? { offers: 0 };
    if (offers === MAX_OFFERS) {
      this.#offers.set(session, null);
      this.#deps.observe('given_up');
      this.#deps.log.warn({ clientId, offers }, 'renewed token not stored by the agent');
      return;
    }
    const { id, issuedAt, expiresAt } = token;
    const renewed = await this.#deps.store.offerToken(
      { clientId, id, issuedAt, expiresAt },
      { now: this.#deps.clock.now(), newId: renewedTokenId(uuidv7()) },
    );
    if (renewed === undefined) {
      this.#offers.set(session, null);
      return;
    }
    const renewalId = renewalIdOf(renewed.tokenId);
    this.#offers.set(session, {
      renewalId,
      expiresAt: renewed.expiresAt,
      offers: offers + 1,
      repeatAt: this.#deps.clock.elapsed() + REPEAT_AFTER_MS * 2 ** offers,
      isStored: false,
    });
    session.send({ action: 'renew_token', renewal_id: renewalId, token: await sign(renewed, token.claims) });
    this.#deps.observe('offered');
    const ends = new Date(renewed.expiresAt).toISOString();
    this.#deps.log.info({ clientId, renewalId, tokenExpiresAt: ends }, 'renewed token sent to the agent');
  }
}
