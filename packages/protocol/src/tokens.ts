import { z } from 'zod';
import { clientIdSchema } from './identifiers.ts';

/** `iss` of every token. */
export const TOKEN_ISSUER = 'backhaul';

/**
 * Each kind of token has its own audience and `typ` header, so that one is never taken for the other.
 * `maxAgeSeconds` counts from `iat`: no token lives longer, whatever its `exp` says.
 */
export const tokenKinds = {
  agent: { audience: 'backhaul-agent', type: 'backhaul-agent+jwt', maxAgeSeconds: 366 * 86_400 },
  operator: { audience: 'backhaul-operator', type: 'backhaul-operator+jwt', maxAgeSeconds: 31 * 86_400 },
} as const;
export type TokenKind = keyof typeof tokenKinds;

/** What an operator's token may do. No scope includes another. */
export const scopes = ['read', 'content', 'trigger', 'metrics', 'audit', 'admin'] as const;
export const scopeSchema = z.enum(scopes).meta({
  description:
    "`read`: records, events, clients. `content`: the files themselves. `trigger`: start, cancel and retry pulls, run commands. `metrics`: Prometheus' metrics. `audit`: who did what. `admin`: delete, diagnose.",
});
export type Scope = z.infer<typeof scopeSchema>;

/** An agent's token: its subject is the `client_id`, and the only source of it. */
export const agentClaimsSchema = z.object({ sub: clientIdSchema, iat: z.int(), exp: z.int() });
export type AgentClaims = z.infer<typeof agentClaimsSchema>;

/**
 * Claim `scope_version` of tokens whose scopes mean what they say. Those without it are from before `content` and
 * `metrics` were split from `read`; for how long `read` still includes them, the server decides.
 */
export const SCOPE_VERSION = 2;
/** What `read` includes in a token without `scope_version`. */
export const legacyReadScopes = ['content', 'metrics'] as const satisfies readonly Scope[];

/** An operator's token; `scope` is a space-separated list (RFC 8693, section 4.2). */
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

/** A secret shorter than HS256's hash can be guessed offline (RFC 7518, section 3.2). */
export const MIN_JWT_SECRET_BYTES = 32;

/** Whether `read` in this token still means what it did before the scopes were split, where that is accepted. */
export function hasLegacyRead(claims: Pick<OperatorClaims, 'scope' | 'scope_version'>): boolean {
  return (claims.scope_version ?? 1) < SCOPE_VERSION && claims.scope.includes('read');
}
