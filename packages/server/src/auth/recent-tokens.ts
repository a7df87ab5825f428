import type { Clock } from '../domain/ports/clock.ts';

/** A key that is withdrawn from a key set is noticed minutes later in any case. */
const REMEMBERED_MS = 60_000;
/** Tokens of operators are few; whoever sends many good ones gains nothing. */
const MOST_TOKENS = 1000;

interface Remembered<Claims> {
  readonly claims: Promise<Claims>;
  /** By the clock that cannot be set. */
  readonly until: number;
}

/**
 * Remembers who sent a token for up to a minute, never beyond its end: checking its signature, on a thread of its own,
 * is an eighth of what a small request costs, and operators send the same one with each.
 */
export class RecentTokens<Claims extends { readonly exp: number }> {
  readonly #verify: (token: string) => Promise<Claims>;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered<Claims>>();

  /** @param verify Rejects for a token that is not good, which is not remembered. */
  constructor(verify: (token: string) => Promise<Claims>, clock: Clock) {
    this.#verify = verify;
    this.#clock = clock;
  }

  /** @throws what `verify` throws. */
  async verify(token: string): Promise<Claims> {
    const known = this.#remembered.get(token);
    if (known !== undefined && this.#clock.elapsed() < known.until) {
      const claims = await known.claims;
      if (this.#clock.now() < claims.exp * 1000) return claims;
    }
    const claims = this.#verify(token);
    this.#remember(token, claims);
    try {
      return await claims;
    } catch (error) {
      if (this.#remembered.get(token)?.claims === claims) this.#remembered.delete(token);
      throw error;
    }
  }

  #remember(token: string, claims: Promise<Claims>): void {
    // To the end of the order in which they are forgotten.
    this.#remembered.delete(token);
    const oldest = this.#remembered.keys().next();
    if (this.#remembered.size >= MOST_TOKENS && oldest.done !== true) this.#remembered.delete(oldest.value);
    this.#remembered.set(token, { claims, until: this.#clock.elapsed() + REMEMBERED_MS });
  }
}
