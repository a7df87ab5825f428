import type { Clock } from '../domain/ports/clock.ts';
import { BucketError } from '../domain/ports/bucket.ts';

export interface SigningCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** Milliseconds since the epoch; null if they are valid until revoked. */
  readonly expiresAt: number | null;
}

/** The slice of the SDK's memoised provider that is used. */
type CredentialProvider = (options?: { forceRefresh?: boolean }) => Promise<{
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}>;

/** Providers return the same short-lived credentials until they rotate them; asking more often has no effect. */
const MIN_REFRESH_INTERVAL_MS = 30_000;

/** A shorter-lived URL is of no use to an agent. */
const MIN_LIFE_MS = 30_000;

/**
 * Credentials for signing URLs. A URL expires with the temporary credentials that signed it, and signers do not check
 * their age; this class refreshes them before a URL would outlive them.
 */
export class CredentialSource {
  readonly #provide: CredentialProvider;
  readonly #clock: Clock;
  #refreshedAt = Number.NEGATIVE_INFINITY;

  constructor(provide: CredentialProvider, clock: Clock) {
    this.#provide = provide;
    this.#clock = clock;
  }

  /**
   * Returns credentials that live for `wantedLifeMs`, or as long as the provider can offer.
   *
   * @throws BucketError `unavailable` if they are about to expire and the provider has no others.
   */
  async lasting(wantedLifeMs: number): Promise<SigningCredentials> {
    let credentials = await this.#ask(false);
    if (
      this.#lifeOf(credentials) <= wantedLifeMs &&
      this.#clock.elapsed() - this.#refreshedAt >= MIN_REFRESH_INTERVAL_MS
    ) {
      this.#refreshedAt = this.#clock.elapsed();
      credentials = await this.#ask(true);
    }
    if (this.#lifeOf(credentials) < MIN_LIFE_MS) {
      throw new BucketError(
        'unavailable',
        'The AWS credentials have expired, or will within seconds, and their provider has no newer ones: renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role that issues them.',
      );
    }
    return credentials;
  }

  #lifeOf(credentials: SigningCredentials): number {
    return credentials.expiresAt === null
      ? Number.POSITIVE_INFINITY
      : credentials.expiresAt - this.#clock.now();
  }

  async #ask(forceRefresh: boolean): Promise<SigningCredentials> {
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = await this.#provide({ forceRefresh });
    return { accessKeyId, secretAccessKey, sessionToken, expiresAt: expiration?.getTime() ?? null };
  }
}
