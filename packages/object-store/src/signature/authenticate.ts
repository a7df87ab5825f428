import type { KeyObject } from 'node:crypto';
import { S3Error } from '../errors.ts';
import {
  canonicalRequest,
  type Credentials,
  credentialScope,
  sameSignature,
  sha256Hex,
  type SignedRequest,
  signingKeyOf,
  signText,
} from './sigv4.ts';
import { readSignatureClaim, type SignatureClaim } from './claim.ts';

/** Result of a valid signature, with the values needed to verify the signatures of chunks. */
export interface Authentication {
  readonly presigned: boolean;
  /** The signed `x-amz-content-sha256`. */
  readonly payloadHash: string;
  readonly amzDate: string;
  readonly scope: string;
  readonly signingKey: KeyObject;
  readonly signature: string;
}

const MAX_SKEW_MS = 15 * 60 * 1000;

function checkTime(claim: SignatureClaim, nowMs: number): void {
  if (claim.expiresInSeconds === undefined) {
    if (Math.abs(nowMs - claim.signedAtMs) > MAX_SKEW_MS) {
      throw new S3Error('RequestTimeTooSkewed', undefined, {
        RequestTime: claim.amzDate,
        ServerTime: new Date(nowMs).toISOString(),
        MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
      });
    }
    return;
  }
  if (claim.signedAtMs - nowMs > MAX_SKEW_MS) throw new S3Error('AccessDenied', 'Request is not yet valid');
  const expiresAtMs = claim.signedAtMs + claim.expiresInSeconds * 1000;
  if (nowMs > expiresAtMs) {
    throw new S3Error('AccessDenied', 'Request has expired', {
      'X-Amz-Expires': String(claim.expiresInSeconds),
      Expires: new Date(expiresAtMs).toISOString(),
      ServerTime: new Date(nowMs).toISOString(),
    });
  }
}

function checkScope(claim: SignatureClaim, { region }: Credentials): void {
  const refusal = claim.presigned ? 'AuthorizationQueryParametersError' : 'AuthorizationHeaderMalformed';
  if (claim.scopeDate !== claim.amzDate.slice(0, 8)) {
    throw new S3Error(
      refusal,
      `Invalid credential date "${claim.scopeDate}". It must be the day of the request's date.`,
    );
  }
  if (claim.region !== region) {
    throw new S3Error(refusal, `The region '${claim.region}' is wrong; expecting '${region}'`, {
      Region: region,
    });
  }
}

/** Refuses unsigned headers that change the request: anyone with the URL could add them. */
function checkSignedHeaders(claim: SignatureClaim, { headers }: SignedRequest): void {
  const signed = new Set(claim.signedHeaders);
  const unsigned = [...headers.keys()].filter(
    (name) => !signed.has(name) && (name === 'host' || name.startsWith('x-amz-')),
  );
  if (unsigned.length > 0 || !signed.has('host')) {
    throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
      HeadersNotSigned: unsigned.join(', ') || 'host',
    });
  }
}

/**
 * Verifies the SigV4 signature of a request, in a header or in the query.
 * @param nowMs the server's clock
 * @throws S3Error with the code of Amazon S3 for the same error
 */
export function authenticate(
  request: SignedRequest,
  credentials: Credentials,
  nowMs: number,
): Authentication {
  const claim = readSignatureClaim(request);
  checkScope(claim, credentials);
  if (!sameSignature(credentials.accessKey, claim.accessKey)) throw new S3Error('InvalidAccessKeyId');
  const scope = credentialScope(claim.scopeDate, credentials.region);
  const signingKey = signingKeyOf(credentials, claim.scopeDate);
  const canonical = canonicalRequest(request, claim.signedHeaders, claim.payloadHash);
  const textToSign = ['AWS4-HMAC-SHA256', claim.amzDate, scope, sha256Hex(canonical)].join('\n');
  const expected = signText(signingKey, textToSign);
  // Expiry is checked first, like S3: an expired URL is reported as such even if other checks would fail.
  checkTime(claim, nowMs);
  if (!sameSignature(expected, claim.signature)) throw new S3Error('SignatureDoesNotMatch');
  checkSignedHeaders(claim, request);
  return {
    presigned: claim.presigned,
    payloadHash: claim.payloadHash,
    amzDate: claim.amzDate,
    scope,
    signingKey,
    signature: expected,
  };
}
