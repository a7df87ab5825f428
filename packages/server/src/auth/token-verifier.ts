import type { IncomingHttpHeaders } from 'node:http';
import {
  type AgentClaims,
  agentClaimsSchema,
  BackhaulError,
  type OperatorClaims,
  operatorClaimsSchema,
  type RefusalReason,
  SCOPE_VERSION,
  scopes,
  TOKEN_ISSUER,
  type TokenKind,
  tokenKinds,
} from '@backhaul/protocol';
import { errors, type JWTPayload, jwtVerify, type JWTVerifyOptions } from 'jose';
import type { z } from 'zod';
import type { Clock } from '../domain/ports/clock.ts';
import { KeySetUnavailable } from './key-set.ts';
import type { TokenKeys } from './token-keys.ts';

interface ClaimsOf {
  readonly agent: AgentClaims;
  readonly operator: OperatorClaims;
}

const claimsSchemas: { readonly [Kind in TokenKind]: z.ZodType<ClaimsOf[Kind]> } = {
  agent: agentClaimsSchema,
  operator: operatorClaimsSchema,
};

/** Longer tokens are not parsed: the sender is not authenticated yet. */
export const MAX_TOKEN_LENGTH = 8 * 1024;

/** Machines' clocks differ by seconds. */
const CLOCK_TOLERANCE_SECONDS = 30;

/** Required claims of tokens; another issuer's differ from Backhaul's own. */
export interface TokenRules {
  readonly issuer: string;
  readonly audience: Readonly<Record<TokenKind, string>>;
  /** Header `typ`; null for any. */
  readonly type: Readonly<Record<TokenKind, string | null>>;
  /** Claim with an operator's scopes: words separated by spaces, or a list. */
  readonly scopeClaim: string;
}

export const ownTokenRules: TokenRules = {
  issuer: TOKEN_ISSUER,
  audience: { agent: tokenKinds.agent.audience, operator: tokenKinds.operator.audience },
  type: { agent: tokenKinds.agent.type, operator: tokenKinds.operator.type },
  scopeClaim: 'scope',
};

/**
 * The token of `Authorization: Bearer` (RFC 6750, section 2.1); never one from the query, which ends up in logs.
 *
 * @param what Subject of the error's sentence, e.g. `The request`.
 * @throws BackhaulError `unauthorized`
 */
export function bearerToken(headers: IncomingHttpHeaders, what: string): string {
  const match = /^Bearer +([^\s]+)$/i.exec(headers.authorization ?? '');
  if (match?.[1] === undefined) {
    throw new BackhaulError('unauthorized', `${what} needs the header Authorization: Bearer TOKEN.`, {
      reason: 'token_missing',
    });
  }
  return match[1];
}

/** The claims of a verified token, and whether it was signed with `JWT_SECRET_PREVIOUS`. */
export type Verified<Claims> = Claims & { readonly isOfPreviousSecret: boolean };

/** Verifies tokens, and refuses those of the wrong kind. */
export class TokenVerifier {
  readonly #keys: TokenKeys;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #rules: TokenRules;

  /** @param rules Default: those of Backhaul's own tokens. */
  constructor(keys: TokenKeys, clock: Pick<Clock, 'now'>, rules: TokenRules = ownTokenRules) {
    this.#keys = keys;
    this.#clock = clock;
    this.#rules = rules;
  }

  /**
   * @returns the claims; `exp` is the effective expiry, which the maximum age of the kind may bring forward.
   * @throws BackhaulError `unauthorized`, with a reason that repeats nothing of the token; `keys_unavailable` while
   *   the key set is unreachable, so that no agent takes its valid token for an invalid one.
   */
  async verify<Kind extends TokenKind>(kind: Kind, token: string): Promise<Verified<ClaimsOf[Kind]>> {
    if (token.length > MAX_TOKEN_LENGTH) throw unauthorized('is longer than 8 KiB', 'token_malformed');
    const { payload, isOfPreviousSecret } = await this.#checkedPayload(kind, token);
    const claims = claimsSchemas[kind].safeParse(this.#ownClaims(kind, payload));
    if (!claims.success) {
      const claim = claims.error.issues[0]?.path[0];
      throw unauthorized(
        `has an invalid claim "${String(claim)}" for a token for an ${kind}`,
        'token_claims',
      );
    }
    const { data } = claims;
    const exp = Math.min(data.exp, data.iat + tokenKinds[kind].maxAgeSeconds);
    return Object.assign(data, { exp, isOfPreviousSecret });
  }

  async #checkedPayload(
    kind: TokenKind,
    token: string,
  ): Promise<{ payload: JWTPayload; isOfPreviousSecret: boolean }> {
    const { maxAgeSeconds } = tokenKinds[kind];
    const { issuer, audience, type } = this.#rules;
    const typ = type[kind];
    const options = {
      issuer,
      audience: audience[kind],
      ...(typ !== null && { typ }),
      requiredClaims: ['sub', 'iat', 'exp'],
      maxTokenAge: maxAgeSeconds,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(this.#clock.now()),
    };
    try {
      return await this.#verifyByAny(token, options);
    } catch (error) {
      // Without the cause: jose's errors carry the claims, and a parser's message may quote the token.
      if (error instanceof errors.JOSEError) throw refusalOf(error, kind);
      if (this.#keys.keySet !== undefined && isAboutTheKey(error)) {
        throw unauthorized('names an unusable key of the key set', 'token_signature');
      }
      if (error instanceof KeySetUnavailable) {
        throw new BackhaulError(
          'keys_unavailable',
          `${error.message} Tokens cannot be verified until it can.`,
          {
            cause: error.cause,
            reason: 'keys_unavailable',
          },
        );
      }
      throw error;
    }
  }

  /**
   * The claims in the form of Backhaul's own tokens. Other issuers put more words into the scopes, such as `openid`,
   * and are newer than the split of scopes.
   */
  #ownClaims(kind: TokenKind, payload: JWTPayload): JWTPayload {
    if (kind === 'agent' || this.#rules === ownTokenRules) return payload;
    const given = payload[this.#rules.scopeClaim];
    const words = typeof given === 'string' ? given.split(' ') : Array.isArray(given) ? given : [];
    const scope = scopes.filter((known) => words.includes(known)).join(' ');
    return { ...payload, scope, scope_version: SCOPE_VERSION };
  }

  async #verifyByAny(
    token: string,
    options: JWTVerifyOptions,
  ): Promise<{ payload: JWTPayload; isOfPreviousSecret: boolean }> {
    const { previous } = this.#keys;
    try {
      return { payload: await verifyBy(this.#keys, token, options), isOfPreviousSecret: false };
    } catch (error) {
      if (previous === undefined || !(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      return { payload: await verifyBy(previous, token, options), isOfPreviousSecret: true };
    }
  }
}

async function verifyBy(
  { algorithms, key }: TokenKeys,
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  const withAlgorithms = { ...options, algorithms: [...algorithms] };
  // Both are overloads of one function.
  const { payload } =
    typeof key === 'function'
      ? await jwtVerify(token, key, withAlgorithms)
      : await jwtVerify(token, key, withAlgorithms);
  return payload;
}

/**
 * Errors of jose and Node for a key that is too short or broken. The token chooses the key of the set, and it is not
 * authenticated yet.
 */
function isAboutTheKey(error: unknown): boolean {
  return error instanceof TypeError || error instanceof DOMException;
}

/** @param complaint Continues "The token …". */
function unauthorized(complaint: string, reason: RefusalReason): BackhaulError {
  return new BackhaulError('unauthorized', `The token ${complaint}.`, { reason });
}

function refusalOf(error: errors.JOSEError, kind: TokenKind): BackhaulError {
  if (error instanceof errors.JWTExpired) return expired(error, kind);
  if (error instanceof errors.JWTClaimValidationFailed) return wrongClaim(error, kind);
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return unauthorized('is signed with an algorithm that is not accepted', 'token_malformed');
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return unauthorized('was signed with another key', 'token_signature');
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return unauthorized('was signed with a key that is not in the key set', 'token_signature');
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return unauthorized('does not name the key of the key set that signed it', 'token_signature');
  }
  return unauthorized('is not a signed JSON Web Token', 'token_malformed');
}

function expired(error: errors.JWTExpired, kind: TokenKind): BackhaulError {
  if (error.claim === 'iat')
    return unauthorized(`exceeds the maximum age of a token for an ${kind}`, 'token_expired');
  // The signature was verified before.
  const { exp } = error.payload;
  const at =
    exp !== undefined && Math.abs(exp) <= MAX_DATE_SECONDS ? new Date(exp * 1000).toISOString() : null;
  return unauthorized(at === null ? 'has expired' : `expired on ${at}`, 'token_expired');
}

/** The last second that a Date can represent. */
const MAX_DATE_SECONDS = 8_640_000_000_000;

function wrongClaim({ claim, reason }: errors.JWTClaimValidationFailed, kind: TokenKind): BackhaulError {
  if (reason === 'missing') return unauthorized(`lacks the claim "${claim}"`, 'token_claims');
  if (claim === 'iat' || claim === 'nbf') {
    return unauthorized('is from the future; compare the machines’ clocks', 'token_not_yet_valid');
  }
  return unauthorized(
    `has the wrong "${claim}"; a token for an ${kind} is needed`,
    claim === 'iss' ? 'token_issuer' : 'token_kind',
  );
}
