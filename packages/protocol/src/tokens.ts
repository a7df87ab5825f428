import { z } from 'zod';
import { clientIdSchema } from './fields.ts';

/** `iss` of all tokens. */
export const TOKEN_ISSUER = 'backhaul';

/**
 * Each kind of token has its own audience and `typ` header, so that one kind is never accepted as the other.
 * `maxAgeSeconds` is the maximum age since `iat`, regardless of `exp`.
 */
export const tokenKinds = {
  agent: { audience: 'backhaul-agent', type: 'backhaul-agent+jwt', maxAgeSeconds: 366 * 86_400 },
  operator: { audience: 'backhaul-operator', type: 'backhaul-operator+jwt', maxAgeSeconds: 31 * 86_400 },
} as const;
export type TokenKind = keyof typeof tokenKinds;

/** Permissions of an operator token. No scope includes another. */
export const scopes = ['read', 'content', 'trigger', 'metrics', 'audit', 'admin'] as const;
export const scopeSchema = z.enum(scopes).meta({
  description:
    '`read`: records, events, clients. `content`: the files themselves. `trigger`: start, cancel and retry uploads, run commands. `metrics`: Prometheus metrics. `audit`: the audit log. `admin`: delete, diagnose.',
});
export type Scope = z.infer<typeof scopeSchema>;

/** Claims of an agent token. The subject is the `client_id`, and its only source. */
export const agentClaimsSchema = z.object({ sub: clientIdSchema, iat: z.int(), exp: z.int() });
export type AgentClaims = z.infer<typeof agentClaimsSchema>;

/**
 * Claim `scope_version` of current tokens. Tokens without it were issued before `content` and `metrics` were split from
 * `read`; the server decides for how long `read` still includes them.
 */
export const SCOPE_VERSION = 2;
/** Scopes that `read` includes in a token without `scope_version`. */
export const legacyReadScopes = ['content', 'metrics'] as const satisfies readonly Scope[];

/** Claims of an operator token; `scope` is a space-separated list (RFC 8693, section 4.2). */
export const operatorClaimsSchema = z.object({
  sub: z.string().min(1).max(200),
  scope: z
    .string()
    .transform((value) => value.split(' ').filter((word) => word !== ''))
    .pipe(z.array(scopeSchema).min(1)),
  scope_version: z.int().min(1).optional(),
  iat: z.int(),
  exp: z.int(),
});
export type OperatorClaims = z.infer<typeof operatorClaimsSchema>;

/** Minimum secret length for HS256: the size of the hash (RFC 7518, section 3.2). */
export const MIN_JWT_SECRET_BYTES = 32;

/** Whether `read` in this token has its old meaning from before the scopes were split. */
export function hasLegacyRead(claims: Pick<OperatorClaims, 'scope' | 'scope_version'>): boolean {
  return (claims.scope_version ?? 1) < SCOPE_VERSION && claims.scope.includes('read');
}
