import { BackhaulError, type TokenStored } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { AgentSession, SessionToken } from './agent-session.ts';
import type { SessionRegistry } from './session-registry.ts';
import { type ChainedToken, renewalDueAt, renewalIdOf, renewedTokenId } from './token-chain.ts';

/** An agent whose disk is slow has stored a token by then; each time it has twice as long. */
const REPEAT_AFTER_MS = 60_000;
/** Of one session. What an agent could not store by then it is told in its next. */
const MAX_OFFERS = 6;
/** In one round: after a change of JWT_SECRET all agents are due at once. */
const MAX_IN_ROUND = 500;

/** Makes the token that is on record, with the claims of the one that it renews: the same one each time. */
export type SignToken = (
  token: Pick<ChainedToken, 'tokenId' | 'issuedAt' | 'expiresAt'>,
  claims: SessionToken['claims'],
) => Promise<string>;

export const renewalOutcomes = ['offered', 'stored', 'given_up'] as const;
export type RenewalOutcome = (typeof renewalOutcomes)[number];

export interface TokenRenewalParts {
  readonly store: Store;
  readonly sessions: SessionRegistry;
  readonly clock: Clock;
  readonly log: Log;
  /** Null where tokens are not renewed. What was replaced stays replaced. */
  readonly sign: SignToken | null;
  readonly observe: (outcome: RenewalOutcome) => void;
  /** Aborts when the server begins to stop. */
  readonly signal: AbortSignal;
}

/** What was handed out in one session. */
interface Offer {
  readonly renewalId: string;
  readonly expiresAt: number;
  readonly offers: number;
  /** By the clock that cannot be set. */
  readonly repeatAt: number;
  readonly isStored: boolean;
}

/** Refuses the connection of an agent whose token was renewed, once the renewed one has been used. */
class TokenReplaced extends BackhaulError {
  constructor(replacedAt: number) {
    const at = new Date(replacedAt).toISOString();
    super(
      'unauthorized',
      `The token was replaced: the one that renews it was first used on ${at}. This is an older copy of it.`,
      { reason: 'token_replaced' },
    );
  }
}

/**
 * Renews agents' tokens over their connections, so that none ends while its agent is there. The one before is good until
 * the renewed one was first used: whatever is lost on the way, one of the two works.
 */
export class TokenRenewal {
  readonly #store: Store;
  readonly #sessions: SessionRegistry;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sign: SignToken | null;
  readonly #observe: (outcome: RenewalOutcome) => void;
  readonly #signal: AbortSignal;
  /** Null of a session that is handed out nothing any more. */
  readonly #offers = new WeakMap<AgentSession, Offer | null>();

  constructor(parts: TokenRenewalParts) {
    this.#store = parts.store;
    this.#sessions = parts.sessions;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#sign = parts.sign;
    this.#observe = parts.observe;
    this.#signal = parts.signal;
  }

  /**
   * Before the upgrade. Two have the token: the agent that has renewed it, or a copy of it, lost its renewed one; or
   * somebody has renewed it with a copy. Which of them is the thief cannot be told, so nothing is renewed any more.
   *
   * @throws BackhaulError `unauthorized`
   */
  async mustNotBeReplaced(clientId: string, tokenId: string): Promise<void> {
    const token = await this.#store.getChainedToken(tokenId);
    if (token === undefined || token.replacedAt === null) return;
    if (token.stoppedAt === null) {
      await this.#store.stopRenewal(clientId, this.#clock.now());
      this.#log.warn(
        { clientId, replacedAt: new Date(token.replacedAt).toISOString() },
        'a replaced token was used; the tokens of this client are not renewed until it has a new one of an operator',
      );
    }
    throw new TokenReplaced(token.replacedAt);
  }

  /** One round. To be called by a clock that can be believed: agents keep what it writes into tokens. */
  async renewDue(): Promise<void> {
    const sign = this.#sign;
    if (sign === null) return;
    let left = MAX_IN_ROUND;
    for (const session of [...this.#sessions.all()]) {
      if (!this.#isDue(session)) continue;
      if (left === 0 || this.#signal.aborted) return;
      left -= 1;
      await this.#offer(session, sign);
    }
  }

  /** The agent says that the token is on its disk. */
  async stored(session: AgentSession, { renewal_id: renewalId }: TokenStored): Promise<void> {
    const offer = this.#offers.get(session);
    // Of an earlier session, or made up.
    if (offer == null || offer.renewalId !== renewalId || offer.isStored) return;
    this.#offers.set(session, { ...offer, isStored: true });
    this.#observe('stored');
    await this.#store.setTokenExpiry(session.clientId, session.epoch, offer.expiresAt);
    this.#log.info({ clientId: session.clientId, renewalId }, 'renewed token stored by its agent');
  }

  /** The token that this agent will connect with next, as far as is known. */
  nextToken(session: AgentSession): Pick<SessionToken, 'issuedAt' | 'expiresAt' | 'isOfPreviousSecret'> {
    const offer = this.#offers.get(session);
    if (offer?.isStored !== true) return session.token;
    const lifeMs = session.token.expiresAt - session.token.issuedAt;
    const { expiresAt } = offer;
    return { issuedAt: expiresAt - lifeMs, expiresAt, isOfPreviousSecret: false };
  }

  #isDue(session: AgentSession): boolean {
    if (!session.keepsTokens || this.#sessions.get(session.clientId) !== session) return false;
    const offer = this.#offers.get(session);
    if (offer === null) return false;
    if (offer !== undefined) return !offer.isStored && this.#clock.elapsed() >= offer.repeatAt;
    const { token } = session;
    return token.isOfPreviousSecret || this.#clock.now() >= renewalDueAt(token);
  }

  async #offer(session: AgentSession, sign: SignToken): Promise<void> {
    const { clientId, token } = session;
    const { offers } = this.#offers.get(session) ?? { offers: 0 };
    if (offers === MAX_OFFERS) {
      this.#offers.set(session, null);
      this.#observe('given_up');
      this.#log.warn({ clientId, offers }, 'renewed token not stored by its agent');
      return;
    }
    const { id, issuedAt, expiresAt } = token;
    const renewed = await this.#store.offerToken(
      { clientId, id, issuedAt, expiresAt },
      { now: this.#clock.now(), newId: renewedTokenId(uuidv7()) },
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
      repeatAt: this.#clock.elapsed() + REPEAT_AFTER_MS * 2 ** offers,
      isStored: false,
    });
    session.send({ action: 'renew_token', renewal_id: renewalId, token: await sign(renewed, token.claims) });
    this.#observe('offered');
    const ends = new Date(renewed.expiresAt).toISOString();
    this.#log.info({ clientId, renewalId, tokenExpiresAt: ends }, 'renewed token sent to its agent');
  }
}
