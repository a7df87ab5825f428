import { MIN_JWT_SECRET_BYTES } from '@backhaul/protocol';
import type { JwtSource } from '../auth/token-keys.ts';
import { ownTokenRules, type TokenRules } from '../auth/token-verifier.ts';
import type { SettingProblem } from './config-error.ts';
import { missing, readablePath, type ReadSettings } from './read-settings.ts';

const sources = ['JWT_SECRET', 'JWT_PUBLIC_KEY_FILE', 'JWT_JWKS_URL'] as const;

/** @returns The configured source; null if a problem was added. */
export function jwtSource(settings: ReadSettings, cwd: string, problems: SettingProblem[]): JwtSource | null {
  const { values, isSet } = settings;
  const given = sources.filter((name) => isSet(name));
  if (given.length > 1) {
    problems.push({
      setting: given.join(', '),
      message: `${given.join(' and ')} are set, but only one of them can verify tokens; unset the others.`,
    });
    return null;
  }
  if (given.length === 0) {
    problems.push(missing('JWT_SECRET'));
    return null;
  }
  if (isSet('JWT_SECRET_PREVIOUS') && !isSet('JWT_SECRET')) {
    problems.push({
      setting: 'JWT_SECRET_PREVIOUS',
      message: `JWT_SECRET_PREVIOUS works only with JWT_SECRET, but tokens are verified by ${given.join()}; unset it.`,
    });
    return null;
  }
  if (isSet('JWT_PUBLIC_KEY_FILE')) {
    const path = readablePath(settings, 'JWT_PUBLIC_KEY_FILE', { cwd, problems });
    return path === null ? null : { kind: 'public-key-file', path };
  }
  if (isSet('JWT_JWKS_URL')) {
    return values.JWT_JWKS_URL === undefined
      ? null
      : {
          kind: 'jwks',
          url: values.JWT_JWKS_URL,
          maxAgeMs: (values.JWT_JWKS_MAX_AGE_SECONDS ?? 0) * 1000,
        };
  }
  const secret = jwtSecret('JWT_SECRET', settings, problems);
  const previous = jwtSecret('JWT_SECRET_PREVIOUS', settings, problems);
  if (secret !== null && secret === previous) {
    problems.push({
      setting: 'JWT_SECRET_PREVIOUS',
      message: 'JWT_SECRET_PREVIOUS is the same as JWT_SECRET; unset it.',
    });
  }
  return secret === null ? null : { kind: 'secret', secret, ...(previous !== null && { previous }) };
}

const ruleSettings = [
  'JWT_ISSUER',
  'JWT_AGENT_AUDIENCE',
  'JWT_OPERATOR_AUDIENCE',
  'JWT_AGENT_TYPE',
  'JWT_OPERATOR_TYPE',
  'JWT_SCOPE_CLAIM',
] as const;

/** @returns Undefined for tokens of `backhaul token`, or if a problem was added. */
export function tokenRules(
  { values, isSet }: ReadSettings,
  problems: SettingProblem[],
): TokenRules | undefined {
  const given = ruleSettings.filter((name) => isSet(name));
  if (given.length === 0) return undefined;
  if (!isSet('JWT_PUBLIC_KEY_FILE') && !isSet('JWT_JWKS_URL')) {
    problems.push({
      setting: given.join(', '),
      message: `${given.join(' and ')}: only for tokens of your own issuer, with JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL. Tokens that "backhaul token" signs with JWT_SECRET always have the default values; unset it.`,
    });
    return undefined;
  }
  const own = ownTokenRules;
  const typeOf = (value: string | undefined, otherwise: string | null) =>
    value === 'any' ? null : (value ?? otherwise);
  const rules: TokenRules = {
    issuer: values.JWT_ISSUER ?? own.issuer,
    audience: {
      agent: values.JWT_AGENT_AUDIENCE ?? own.audience.agent,
      operator: values.JWT_OPERATOR_AUDIENCE ?? own.audience.operator,
    },
    type: {
      agent: typeOf(values.JWT_AGENT_TYPE, own.type.agent),
      operator: typeOf(values.JWT_OPERATOR_TYPE, own.type.operator),
    },
    scopeClaim: values.JWT_SCOPE_CLAIM ?? own.scopeClaim,
  };
  const { audience, type } = rules;
  const sameType =
    type.agent === null || type.operator === null || mediaType(type.agent) === mediaType(type.operator);
  if (audience.agent === audience.operator && sameType) {
    problems.push({
      setting: 'JWT_AGENT_AUDIENCE, JWT_OPERATOR_AUDIENCE',
      message:
        'An agent’s token would give access to the API: give JWT_AGENT_AUDIENCE and JWT_OPERATOR_AUDIENCE different values, or JWT_AGENT_TYPE and JWT_OPERATOR_TYPE.',
    });
  }
  return rules;
}

/** Normalises a header `typ` in the same way as jose (RFC 7515, section 4.1.9): `AT+JWT` is `application/at+jwt`. */
function mediaType(type: string): string {
  return (type.includes('/') ? type : `application/${type}`).toLowerCase();
}

/** The secret for `--dev`, which signs tokens itself. @returns Null if none is set, or if a problem was added. */
export function devJwtSecret(settings: ReadSettings, problems: SettingProblem[]): string | null {
  for (const name of [
    'JWT_PUBLIC_KEY_FILE',
    'JWT_JWKS_URL',
    'JWT_SECRET_PREVIOUS',
    ...ruleSettings,
  ] as const) {
    if (!settings.isSet(name)) continue;
    problems.push({
      setting: name,
      message: `${name} cannot be used with --dev, which signs tokens itself with one secret; unset it.`,
    });
  }
  return jwtSecret('JWT_SECRET', settings, problems);
}

function jwtSecret(
  name: 'JWT_SECRET' | 'JWT_SECRET_PREVIOUS',
  { values }: ReadSettings,
  problems: SettingProblem[],
): string | null {
  const secret = values[name];
  if (secret === undefined) return null;
  if (secret.trimStart().startsWith('-----BEGIN')) {
    problems.push({
      setting: name,
      message: `${name} contains a PEM key. With a public key as the secret, everyone who has the key could sign tokens; set JWT_PUBLIC_KEY_FILE to its file instead.`,
    });
    return null;
  }
  const bytes = Buffer.byteLength(secret);
  if (bytes < MIN_JWT_SECRET_BYTES) {
    problems.push({
      setting: name,
      message: `${name} has ${bytes} bytes; it needs ${MIN_JWT_SECRET_BYTES} or more, because a shorter one can be guessed from any token. Make one with: openssl rand -hex 32`,
    });
    return null;
  }
  if (isGuessable(secret)) {
    problems.push({
      setting: name,
      message: `${name} has fewer than ${MIN_DIFFERENT_CHARACTERS} different characters and can be guessed. Make one with: openssl rand -hex 32. Tokens signed with the old secret end with it: sign new ones for all agents and operators.`,
    });
    return null;
  }
  return secret;
}

/** 64 random hexadecimal digits have fewer than 8 different ones with a probability below 10⁻¹⁵. */
const MIN_DIFFERENT_CHARACTERS = 8;

function isGuessable(secret: string): boolean {
  return new Set(secret).size < MIN_DIFFERENT_CHARACTERS;
}
