import {
  type AgentClaims,
  agentClaimsSchema,
  BackhaulError,
  type OperatorClaims,
  operatorClaimsSchema,
  TOKEN_ISSUER,
  type TokenKind,
  tokenKinds,
} from '@backhaul/protocol';
import { errors, jwtVerify } from 'jose';
import type { z } from 'zod';
import type { Clock } from '../domain/ports/clock.ts';
import { KeySetUnavailable, type TokenKeys } from './token-keys.ts';

interface ClaimsOf {
  readonly agent: AgentClaims;
  readonly operator: OperatorClaims;
}

const claimsSchemas: { readonly [Kind in TokenKind]: z.ZodType<ClaimsOf[Kind]> } = {
  agent: agentClaimsSchema,
  operator: operatorClaimsSchema,
};

/** Nothing longer is parsed: whoever sends it is not authenticated yet. */
const MAX_TOKEN_LENGTH = 8 * 1024;

/** Machines' clocks differ by seconds. */
const CLOCK_TOLERANCE_SECONDS = 30;

/** Says who sent a token, and refuses whatever is not a token of the wanted kind. */
export class TokenVerifier {
  readonly #keys: TokenKeys;
  readonly #clock: Clock;

  constructor(keys: TokenKeys, clock: Clock) {
    this.#keys = keys;
    this.#clock = clock;
  }

  /**
   * @returns the claims; `exp` is when the token really ends, which its kind's greatest age may bring forward.
   * @throws BackhaulError `unauthorized`, with a reason that repeats nothing of the token; `internal_error` while
   *   the key set is out of reach, so that no agent takes its good token for a bad one.
   */
  async verify<Kind extends TokenKind>(kind: Kind, token: string): Promise<ClaimsOf[Kind]> {
    if (token.length > MAX_TOKEN_LENGTH) throw unauthorized('is longer than 8 KiB');
    const payload = await this.#checkedPayload(kind, token);
    const claims = claimsSchemas[kind].safeParse(payload);
    if (!claims.success) {
      const claim = claims.error.issues[0]?.path[0];
      throw unauthorized(`has a claim "${String(claim)}" that is not valid in a token for an ${kind}`);
    }
    const { iat, exp } = claims.data;
    return { ...claims.data, exp: Math.min(exp, iat + tokenKinds[kind].maxAgeSeconds) };
  }

  async #checkedPayload(kind: TokenKind, token: string): Promise<unknown> {
    const { audience, type, maxAgeSeconds } = tokenKinds[kind];
    const options = {
      algorithms: [...this.#keys.algorithms],
      issuer: TOKEN_ISSUER,
      audience,
      typ: type,
      requiredClaims: ['sub', 'iat', 'exp'],
      maxTokenAge: maxAgeSeconds,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(this.#clock.now()),
    };
    const { key } = this.#keys;
    try {
      const { payload } = await jwtVerify(token, key, options);
      return payload;
    } catch (error) {
      // No cause: jose's errors carry the claims, and a parser's message may quote the token.
      if (error instanceof errors.JOSEError) throw unauthorized(reason(error, kind));
      if (error instanceof KeySetUnavailable) {
        throw new BackhaulError('internal_error', `${error.message} Tokens cannot be checked until it can.`, {
          cause: error.cause,
        });
      }
      throw error;
    }
  }
}

function unauthorized(complaint: string): BackhaulError {
  return new BackhaulError('unauthorized', `The token ${complaint}.`);
}

/** Continues "The token …". */
function reason(error: errors.JOSEError, kind: TokenKind): string {
  if (error instanceof errors.JWTExpired) {
    return error.claim === 'iat' ? `is older than a token for an ${kind} may be` : 'has expired';
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return `lacks the claim "${error.claim}"`;
    if (error.claim === 'iat' || error.claim === 'nbf')
      return 'is from the future; compare the machines’ clocks';
    const expected = `a token for an ${kind} is needed`;
    return `has another "${error.claim}" than is accepted here; ${expected}`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return 'is signed with an algorithm that is not accepted here';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'was signed with another key';
  if (error instanceof errors.JWKSNoMatchingKey) return 'was signed with a key that is not in the key set';
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return 'does not say which key of the key set signed it';
  return 'is not a signed JSON Web Token';
}
