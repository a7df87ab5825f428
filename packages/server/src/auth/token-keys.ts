import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { noProxies, type ProxyVariables } from '@backhaul/program';
import type { JWTVerifyGetKey } from 'jose';
import { ConfigError } from '../config/config-error.ts';
import type { Log } from '../domain/ports/log.ts';
import { KeySet } from './key-set.ts';

/** Source of the keys for verifying tokens. */
export type JwtSource =
  | {
      readonly kind: 'secret';
      readonly secret: string;
      /** Previous secret, also accepted while tokens are replaced. */
      readonly previous?: string;
    }
  | { readonly kind: 'public-key-file'; readonly path: string }
  | { readonly kind: 'jwks'; readonly url: string; readonly maxAgeMs: number };

/**
 * Keys for verifying signatures. The algorithms belong to the key, never to the token: if a public key were accepted
 * as an HMAC secret, everyone who knows it could sign.
 */
export interface TokenKeys {
  readonly algorithms: readonly string[];
  /** A `KeyObject` knows whether it is a secret or a public key, and prints neither. */
  readonly key: KeyObject | JWTVerifyGetKey;
  /** Keys of the previous secret, whose tokens are accepted too. */
  readonly previous?: TokenKeys;
  /** Their source, if it can be unreachable. */
  readonly keySet?: KeySet;
}

/** @throws ConfigError if the key file does not contain a public key of an accepted kind. */
export async function loadTokenKeys(
  source: JwtSource,
  { proxies = noProxies, log }: { proxies?: ProxyVariables; log: Pick<Log, 'info' | 'warn'> },
): Promise<TokenKeys> {
  switch (source.kind) {
    case 'secret':
      return {
        ...secretKeys(source.secret),
        ...(source.previous !== undefined && { previous: secretKeys(source.previous) }),
      };
    case 'public-key-file':
      return publicKeys(source.path, await readFile(source.path, 'utf8'));
    case 'jwks':
      return keySetKeys(new KeySet(source.url, { maxAgeMs: source.maxAgeMs, proxies, log }));
    default:
      return source satisfies never;
  }
}

/** @param secret its UTF-8 bytes are the key. */
export function secretKeys(secret: string): TokenKeys {
  return { algorithms: ['HS256'], key: createSecretKey(secret, 'utf8') };
}

/** @param pem a public key (SPKI or PKCS #1) or a certificate. */
export function publicKeys(path: string, pem: string): TokenKeys {
  if (pem.includes('PRIVATE KEY-----')) {
    throw badKeyFile(
      path,
      'contains a private key, which the server must not have; replace it with its public key',
    );
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw badKeyFile(path, 'does not contain a public key in PEM format', { cause });
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  // RFC 7518, section 3.3: RS256 requires 2,048 bits or more.
  if (type === 'rsa' && modulusLength >= 2048) return { algorithms: ['RS256'], key };
  if (type === 'ec' && namedCurve === 'prime256v1') return { algorithms: ['ES256'], key };
  if (type === 'ed25519') return { algorithms: ['EdDSA'], key };
  throw badKeyFile(path, 'contains a key that is neither RSA of at least 2048 bits nor P-256 nor Ed25519');
}

function badKeyFile(path: string, complaint: string, options?: ErrorOptions): ConfigError {
  const setting = 'JWT_PUBLIC_KEY_FILE';
  return new ConfigError([{ setting, message: `${setting} names ${path}, which ${complaint}.` }], options);
}

/** Keys of an identity provider. */
export function keySetKeys(keySet: KeySet): TokenKeys {
  return { algorithms: ['RS256', 'ES256', 'EdDSA'], key: keySet.keyOf, keySet };
}
