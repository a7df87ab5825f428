import { MIN_JWT_SECRET_BYTES } from '@backhaul/protocol';
import type { SettingProblem } from './config-error.ts';
import type { JwtSource } from './config-types.ts';
import { missing } from './missing-setting.ts';
import { readablePath } from './readable-path.ts';
import type { ReadSettings } from './read-settings.ts';

const sources = ['JWT_SECRET', 'JWT_PUBLIC_KEY_FILE', 'JWT_JWKS_URL'] as const;

/** @returns exactly one source; null if a problem was added. */
export function jwtSource(settings: ReadSettings, cwd: string, problems: SettingProblem[]): JwtSource | null {
  const { values, isSet } = settings;
  const given = sources.filter((name) => isSet(name));
  if (given.length > 1) {
    problems.push({
      setting: given.join(', '),
      message: `${given.join(' and ')} are set, but tokens are checked with exactly one of them; unset the others.`,
    });
    return null;
  }
  if (given.length === 0) {
    problems.push(missing('JWT_SECRET'));
    return null;
  }
  if (isSet('JWT_PUBLIC_KEY_FILE')) {
    const path = readablePath(settings, 'JWT_PUBLIC_KEY_FILE', { cwd, problems });
    return path === null ? null : { kind: 'public-key-file', path };
  }
  if (isSet('JWT_JWKS_URL')) {
    return values.JWT_JWKS_URL === undefined ? null : { kind: 'jwks', url: values.JWT_JWKS_URL };
  }
  const secret = jwtSecret(settings, problems);
  return secret === null ? null : { kind: 'secret', secret };
}

/** `--dev` signs tokens itself. @returns null if none is set, or if a problem was added. */
export function devJwtSecret(settings: ReadSettings, problems: SettingProblem[]): string | null {
  for (const name of ['JWT_PUBLIC_KEY_FILE', 'JWT_JWKS_URL'] as const) {
    if (!settings.isSet(name)) continue;
    problems.push({
      setting: name,
      message: `${name} cannot be used with --dev, which signs tokens itself and needs a secret for that; unset it.`,
    });
  }
  return jwtSecret(settings, problems);
}

function jwtSecret({ values }: ReadSettings, problems: SettingProblem[]): string | null {
  const secret = values.JWT_SECRET;
  if (secret === undefined) return null;
  if (secret.trimStart().startsWith('-----BEGIN')) {
    problems.push({
      setting: 'JWT_SECRET',
      message:
        'JWT_SECRET holds a PEM key. As a secret, a public key would let everybody who knows it sign tokens; name its file in JWT_PUBLIC_KEY_FILE instead.',
    });
    return null;
  }
  const bytes = Buffer.byteLength(secret);
  if (bytes < MIN_JWT_SECRET_BYTES) {
    problems.push({
      setting: 'JWT_SECRET',
      message: `JWT_SECRET has ${bytes} bytes; it needs ${MIN_JWT_SECRET_BYTES} or more, because a shorter one can be guessed from any token. Make one with: openssl rand -base64 48`,
    });
    return null;
  }
  return secret;
}
