import {
  type Finding,
  hasLegacyRead,
  legacyReadScopes,
  type OperatorClaims,
  type Scope,
  tokenKinds,
} from '@backhaul/protocol';
import type { Clock } from '../domain/ports/clock.ts';
import type { Log } from '../domain/ports/log.ts';

/** Every token created before the first start of this version has expired by then. */
export const LEGACY_READ_MS = tokenKinds.operator.maxAgeSeconds * 1000;
/** Event name in the store's `firstTime`: the first start of a version with split scopes. */
export const SCOPES_SPLIT = 'scopes_split';
/** No version with split scopes is older. */
const SCOPES_SPLIT_RELEASED_AT = Date.UTC(2026, 10, 30);

/**
 * The end of the older meaning of `read`. A clock that was behind at the first start does not end it early.
 *
 * @param splitAt The first start of a version with split scopes, by the clock at that time.
 */
export function legacyReadEnd(splitAt: number): number {
  return Math.max(splitAt, SCOPES_SPLIT_RELEASED_AT) + LEGACY_READ_MS;
}

const HOUR_MS = 3_600_000;
/** Maximum number of remembered subjects; an issuer of more tokens causes one extra line in the log. */
const MAX_SUBJECTS = 1000;

interface LegacyReadOptions {
  /**
   * Until when `read` of an older token includes `content` and `metrics`; milliseconds since the epoch. Null: never.
   */
  readonly until: number | null;
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
}

/**
 * The meaning of `read` in tokens without the claim `scope_version`: when they were created it still included
 * `content` and `metrics`, and it does so for a while.
 */
export class LegacyRead {
  readonly #options: LegacyReadOptions;
  /** When a subject's use was last logged, by `clock.elapsed()`. */
  readonly #logged = new Map<string, number>();

  constructor(options: LegacyReadOptions) {
    this.#options = options;
  }

  /** Whether the token permits this, by its own scopes or by the older meaning of `read`. */
  allows(claims: OperatorClaims, scope: Scope): boolean {
    if (claims.scope.includes(scope)) return true;
    const { until, clock } = this.#options;
    const applies = isLegacy(claims, scope) && until !== null && clock.now() < until;
    if (applies) this.#report(claims.sub, scope, until);
    return applies;
  }

  /** Completes the refusal of a token that `allows` has refused. */
  adviceFor(claims: OperatorClaims, scope: Scope): string {
    if (!isLegacy(claims, scope)) return '';
    return ` Since scopes were split, "read" no longer includes "${scope}": create a new token with that scope, or have its issuer add it.`;
  }

  /** For `backhaul doctor`. */
  findings(): Finding[] {
    const { until } = this.#options;
    if (until === null || this.#logged.size === 0) return [];
    const subjects = [...this.#logged.keys()].slice(0, 10).join(', ');
    return [
      {
        name: 'scopes',
        level: 'warning',
        detail: `Tokens without the claim scope_version were used for content or metrics since the server's start, by: ${subjects}. Their "read" includes these until ${new Date(until).toISOString()} only.`,
        fix: 'Create new tokens: backhaul token operator --scope read,content,trigger for people, --scope metrics for Prometheus. Other issuers add the scopes and the claim "scope_version": 2.',
      },
    ];
  }

  #report(subject: string, scope: Scope, until: number): void {
    const { clock, log } = this.#options;
    const last = this.#logged.get(subject);
    if (last !== undefined && clock.elapsed() - last < HOUR_MS) return;
    this.#logged.delete(subject);
    const oldest = this.#logged.keys().next();
    if (this.#logged.size >= MAX_SUBJECTS && oldest.done !== true) this.#logged.delete(oldest.value);
    this.#logged.set(subject, clock.elapsed());
    log.warn(
      { subject, scope, until: new Date(until).toISOString() },
      'deprecated: a token without scope_version uses "read" for more than records; create a new one',
    );
  }
}

function isLegacy(claims: OperatorClaims, scope: Scope): boolean {
  return hasLegacyRead(claims) && legacyReadScopes.some((included) => included === scope);
}
