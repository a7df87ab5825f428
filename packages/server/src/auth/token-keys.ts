import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import { ConfigError } from '../config/config-error.ts';
import type { JwtSource } from '../config/config-types.ts';

/**
 * What signatures are checked with. The algorithms belong to the key, never to the token: a public key
 * accepted as an HMAC secret would let everybody who knows it sign.
 */
export interface TokenKeys {
  readonly algorithms: readonly string[];
  /** A `KeyObject` knows whether it is a secret or a public key, and shows neither when it is printed. */
  readonly key: KeyObject | JWTVerifyGetKey;
}

/** Valid tokens cannot be told from others now, because the key set is out of reach. */
export class KeySetUnavailable extends Error {
  override readonly name = 'KeySetUnavailable';
}

/** @throws ConfigError if the key file does not hold a public key of a kind that is accepted. */
export async function loadTokenKeys(source: JwtSource): Promise<TokenKeys> {
  switch (source.kind) {
    case 'secret':
      return secretKeys(source.secret);
    case 'public-key-file':
      return publicKeys(source.path, await readFile(source.path, 'utf8'));
    case 'jwks':
      return keySetKeys(source.url);
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
    throw badKeyFile(path, 'holds a private key, which the server must not have; write its public key there');
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw badKeyFile(path, 'does not hold a public key in PEM form', { cause });
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  // RFC 7518, section 3.3: RS256 wants 2,048 bits or more.
  if (type === 'rsa' && modulusLength >= 2048) return { algorithms: ['RS256'], key };
  if (type === 'ec' && namedCurve === 'prime256v1') return { algorithms: ['ES256'], key };
  if (type === 'ed25519') return { algorithms: ['EdDSA'], key };
  throw badKeyFile(path, 'holds a key that is none of RSA of 2048 bits or more, P-256 and Ed25519');
}

function badKeyFile(path: string, complaint: string, options?: ErrorOptions): ConfigError {
  const setting = 'JWT_PUBLIC_KEY_FILE';
  return new ConfigError([{ setting, message: `${setting} names ${path}, which ${complaint}.` }], options);
}

/**
 * Keys of an identity provider, fetched when the first token needs one. After that the set is fetched again
 * when it is ten minutes old, or for a key it does not have, at most every 30 s: tokens with made-up key ids
 * must not turn into requests.
 */
export function keySetKeys(url: string, timeoutMs = 5_000): TokenKeys {
  const keySet = createRemoteJWKSet(new URL(url), {
    timeoutDuration: timeoutMs,
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
  });
  return {
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    key: async (header, token) => {
      try {
        return await keySet(header, token);
      } catch (cause) {
        const isAboutToken =
          cause instanceof errors.JWKSNoMatchingKey || cause instanceof errors.JWKSMultipleMatchingKeys;
        if (isAboutToken) throw cause;
        throw new KeySetUnavailable(`The key set at JWT_JWKS_URL cannot be fetched.`, { cause });
      }
    },
  };
}
