import type { Clock } from '../domain/ports/clock.ts';

/** Keys withdrawn from a key set are noticed only after minutes anyway. */
const REMEMBERED_MS = 60_000;
/** Operators' tokens are few; sending many valid ones has no advantage. */
const MAX_TOKENS = 1000;

interface Remembered<Claims> {
  readonly claims: Promise<Claims>;
  /** By the monotonic clock. */
  readonly until: number;
}

/**
 * Remembers verified tokens for up to a minute, never beyond their expiry: verifying a signature, on a thread of its
 * own, takes an eighth of the time of a small request, and operators send the same token with each.
 */
export class RecentTokens<Claims extends { readonly exp: number }> {
  readonly #verify: (token: string) => Promise<Claims>;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered<Claims>>();

  /** @param verify Rejects for an invalid token, which is not remembered. */
  constructor(verify: (token: string) => Promise<Claims>, clock: Clock) {
    this.#verify = verify;
    this.#clock = clock;
  }

  /** @throws the errors of `verify`. */
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
    // Moves it to the end of the eviction sequence.
    this.#remembered.delete(token);
    const oldest = this.#remembered.keys().next();
    if (this.#remembered.size >= MAX_TOKENS && oldest.done !== true) this.#remembered.delete(oldest.value);
    this.#remembered.set(token, { claims, until: this.#clock.elapsed() + REMEMBERED_MS });
  }
}
