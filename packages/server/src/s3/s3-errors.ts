import { BucketError, type BucketErrorKind } from '../domain/ports/bucket.ts';
import { DeadlineError } from './retry.ts';

interface ErrorMeaning {
  readonly kind: BucketErrorKind;
  /** One sentence for users: the meaning and, for a mistake, the setting to change. */
  readonly advice: string;
}

const busy = { kind: 'unavailable', advice: 'The store is busy or has an internal error.' } as const;
const forbidden = {
  kind: 'refused',
  advice:
    'The policy of AWS_ACCESS_KEY_ID must allow s3:ListBucket and s3:ListBucketMultipartUploads on S3_BUCKET_NAME, and s3:PutObject, s3:GetObject, s3:GetObjectVersion, s3:DeleteObject, s3:DeleteObjectVersion, s3:AbortMultipartUpload and s3:ListMultipartUploadParts under S3_KEY_PREFIX.',
} as const;
const elsewhere = {
  kind: 'refused',
  advice: 'The bucket is in another region or at another address: set AWS_REGION or S3_ENDPOINT.',
} as const;
const wrongKey = {
  kind: 'refused',
  advice: 'The store does not know this key: check AWS_ACCESS_KEY_ID.',
} as const;
const badToken = { kind: 'refused', advice: 'Check or remove AWS_SESSION_TOKEN.' } as const;
const staleCredentials = {
  kind: 'unavailable',
  advice:
    'The credentials have expired: renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.',
} as const;
const notOffered = { kind: 'refused', advice: 'The store does not support this.' } as const;
const badEncryption = {
  kind: 'refused',
  advice: 'The store cannot encrypt as requested: change S3_SSE, or grant the use of the KMS key.',
} as const;
const badName = { kind: 'refused', advice: 'S3_BUCKET_NAME is not a valid bucket name.' } as const;
const noBucket = {
  kind: 'refused',
  advice:
    'The bucket does not exist: check S3_BUCKET_NAME, or create it with `backhaul-server --setup-bucket`.',
} as const;
const endpointHasBucket = {
  kind: 'refused',
  advice:
    'S3_ENDPOINT seems to include the bucket name: remove it, so that it is the address of the store only.',
} as const;
const full = { kind: 'refused', advice: 'The bucket named by S3_BUCKET_NAME or its store is full.' } as const;
const badParts = {
  kind: 'invalid_parts',
  advice: 'A part is missing, too small, or differs from the listed one.',
} as const;
const badBytes = { kind: 'checksum_mismatch', advice: 'The store computed a different checksum.' } as const;
const uploadGone = {
  kind: 'upload_gone',
  advice: 'The multipart upload no longer exists: it was completed, aborted or expired.',
} as const;
const badTls = {
  kind: 'refused',
  advice:
    'The certificate at S3_ENDPOINT is not trusted: check the host name in S3_ENDPOINT, or set NODE_EXTRA_CA_CERTS to the file of its CA.',
} as const;
const unreachable = {
  kind: 'unavailable',
  advice: 'Cannot reach the store: check S3_ENDPOINT and the network.',
} as const;
const cutOff = { kind: 'unavailable', advice: 'The connection to the store broke.' } as const;

/**
 * Meaning of each error. The key is S3's own code, or Node's for a failed connection. The HTTP status is not used
 * where there is a code: the SDK reports 503 even for an AccessDenied inside a 200.
 *
 * Codes: "Error responses", Amazon S3 API Reference; MinIO and Ceph where they have their own.
 */
const meanings: Readonly<Record<string, ErrorMeaning>> = {
  InternalError: busy,
  InternalFailure: busy,
  ServiceUnavailable: busy,
  ServiceFailure: busy,
  SlowDown: busy,
  SlowDownRead: busy,
  SlowDownWrite: busy,
  Throttling: busy,
  ThrottlingException: busy,
  RequestThrottled: busy,
  RequestLimitExceeded: busy,
  TooManyRequests: busy,
  BandwidthLimitExceeded: busy,
  OperationAborted: busy,
  XMinioServerNotInitialized: busy,
  // A 400, yet transient (aws-sdk-js #281).
  RequestTimeout: busy,
  IncompleteBody: cutOff,

  ExpiredToken: staleCredentials,
  ExpiredTokenException: staleCredentials,
  TokenRefreshRequired: staleCredentials,
  CredentialsProviderError: {
    kind: 'unavailable',
    advice:
      'No credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role or AWS_PROFILE.',
  },

  AccessDenied: forbidden,
  AllAccessDisabled: forbidden,
  AccountProblem: forbidden,
  InvalidPayer: forbidden,
  NotSignedUp: forbidden,
  InvalidAccessKeyId: wrongKey,
  // Code of versitygw.
  XAdminUserNotFound: wrongKey,
  InvalidToken: badToken,
  InvalidClientTokenId: badToken,
  SignatureDoesNotMatch: {
    kind: 'refused',
    advice:
      'Check AWS_SECRET_ACCESS_KEY; if it is correct, a proxy in front of S3_ENDPOINT changes host, path or headers.',
  },
  AuthorizationHeaderMalformed: elsewhere,
  AuthorizationQueryParametersError: elsewhere,
  PermanentRedirect: elsewhere,
  TemporaryRedirect: elsewhere,
  Redirect: elsewhere,
  IllegalLocationConstraintException: elsewhere,
  InvalidLocationConstraint: elsewhere,
  NoSuchBucket: noBucket,
  InvalidBucketName: badName,
  BucketAlreadyExists: {
    kind: 'refused',
    advice: 'The bucket belongs to another account: choose another S3_BUCKET_NAME.',
  },
  KeyTooLongError: { kind: 'refused', advice: 'Keys are too long: shorten S3_KEY_PREFIX.' },
  InvalidStorageClass: {
    kind: 'refused',
    advice: 'The store does not support this storage class: change S3_STORAGE_CLASS.',
  },
  InvalidEncryptionAlgorithmError: badEncryption,
  InvalidEncryptionMethod: badEncryption,
  'KMS.DisabledException': badEncryption,
  'KMS.InvalidKeyUsageException': badEncryption,
  'KMS.KMSInvalidStateException': badEncryption,
  'KMS.NotFoundException': badEncryption,
  NotImplemented: notOffered,
  NotSupported: notOffered,
  MethodNotAllowed: notOffered,
  QuotaExceeded: full,
  XMinioStorageFull: full,
  InvalidRequest: { kind: 'refused', advice: 'The store rejects this kind of request.' },
  InvalidArgument: { kind: 'refused', advice: 'The store rejects this kind of request.' },
  MalformedXML: { kind: 'refused', advice: 'The store rejects this kind of request.' },

  NoSuchUpload: uploadGone,
  // S3 requires the upload to start over from Create (CompleteMultipartUpload, "If-None-Match").
  ConditionalRequestConflict: uploadGone,
  PreconditionFailed: { kind: 'object_exists', advice: 'An object already exists at this key.' },
  InvalidPart: badParts,
  InvalidPartOrder: badParts,
  EntityTooSmall: badParts,
  EntityTooLarge: badParts,
  BadDigest: badBytes,
  InvalidDigest: badBytes,
  XAmzContentChecksumMismatch: badBytes,
  XAmzContentSHA256Mismatch: badBytes,

  ECONNREFUSED: unreachable,
  ENOTFOUND: unreachable,
  EAI_AGAIN: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  EADDRNOTAVAIL: unreachable,
  ECONNRESET: cutOff,
  ECONNABORTED: cutOff,
  EPIPE: cutOff,
  ETIMEDOUT: cutOff,
  ERR_STREAM_PREMATURE_CLOSE: cutOff,
  ERR_PROXY_TUNNEL: {
    kind: 'unavailable',
    advice:
      'The proxy in HTTPS_PROXY does not connect to the store: check its address, user name and password, or add the store to NO_PROXY.',
  },
  TimeoutError: { kind: 'unavailable', advice: 'The store did not respond in time.' },
  EPROTO: { kind: 'refused', advice: 'S3_ENDPOINT does not speak TLS: is it http:// rather than https://?' },
  HPE_INVALID_CONSTANT: { kind: 'refused', advice: 'S3_ENDPOINT does not speak HTTP: is it https://?' },
  CERT_HAS_EXPIRED: badTls,
  DEPTH_ZERO_SELF_SIGNED_CERT: badTls,
  SELF_SIGNED_CERT_IN_CHAIN: badTls,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: badTls,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: badTls,
  ERR_TLS_CERT_ALTNAME_INVALID: badTls,
};

/** Operations that give a code another meaning. */
const meaningsByOperation: Readonly<Record<string, Readonly<Record<string, ErrorMeaning>>>> = {
  // Complete returns InvalidRequest for a wrong MpuObjectSize or a missing checksum of a part.
  CompleteMultipartUpload: { InvalidRequest: badParts, MalformedXML: badParts, NoSuchKey: uploadGone },
  HeadBucket: { NotFound: noBucket },
  // If the endpoint already leads to a bucket, this bucket's name is taken for a key.
  ListObjectsV2: { NotFound: noBucket, NoSuchKey: endpointHasBucket },
  // HEAD cannot say which 400 it is. For a correct request it is RequestTimeout or ExpiredToken, both transient.
  HeadObject: { InvalidRequest: busy },
  ListParts: { NoSuchKey: uploadGone, NotFound: uploadGone },
  AbortMultipartUpload: { NoSuchKey: uploadGone, NotFound: uploadGone },
};

/** Responses to HEAD have no body and so no code; intermediate servers respond in HTML. */
const codeOfStatus: Readonly<Record<number, string>> = {
  301: 'PermanentRedirect',
  302: 'PermanentRedirect',
  307: 'TemporaryRedirect',
  308: 'PermanentRedirect',
  400: 'InvalidRequest',
  401: 'AccessDenied',
  403: 'AccessDenied',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  408: 'RequestTimeout',
  409: 'OperationAborted',
  412: 'PreconditionFailed',
  429: 'TooManyRequests',
  501: 'NotImplemented',
};

/** The fields of an SDK or Node error that are used. */
interface FailedCall {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

interface FailedOperation {
  /** S3's name, e.g. `CompleteMultipartUpload`. */
  readonly operation: string;
  readonly bucket: string;
}

/**
 * Translates the error of a failed call. Errors that are neither a response of the store nor a failed connection
 * (internal errors) are returned unchanged.
 */
export function toBucketError(error: unknown, { operation, bucket }: FailedOperation): unknown {
  if (error instanceof BucketError || !(error instanceof Error)) return error;
  if (error instanceof DeadlineError) {
    return new BucketError(
      'unavailable',
      `${operation} on bucket "${bucket}": no response within ${error.afterMs} ms.`,
      { cause: error },
    );
  }
  const failure: FailedCall = error;
  const s3Code = s3CodeOf(failure);
  const meaning = meaningOf(failure, s3Code, operation);
  if (meaning === undefined) return error;
  const said = s3Code ?? connectionCodeOf(failure) ?? failure.name;
  const message = `${operation} on bucket "${bucket}": ${meaning.advice} (${said}: ${withoutQuery(failure.message)})`;
  return new BucketError(meaning.kind, message, { cause: error, s3Code });
}

function meaningOf(failure: FailedCall, s3Code: string | null, operation: string): ErrorMeaning | undefined {
  if (s3Code !== null) {
    // A wrong clock gets corrected sooner or later; uploads waiting for it must not fail before.
    if (isClockRefusal(s3Code, failure.message)) return { kind: 'unavailable', advice: clockAdvice(failure) };
    // Any code, e.g. versitygw's VersioningNotConfigured. Inside a 200 the SDK reports 503, never 501.
    if (failure.$metadata?.httpStatusCode === 501) return notOffered;
    const known = meaningsByOperation[operation]?.[s3Code] ?? meanings[s3Code];
    if (known !== undefined) return known;
    // Unlisted code: an HTTP 4xx is a refusal; anything else may be transient.
    const status = failure.$metadata?.httpStatusCode ?? 0;
    return status >= 400 && status < 500
      ? { kind: 'refused', advice: 'The store refused the request.' }
      : busy;
  }
  const connectionCode = connectionCodeOf(failure);
  if (connectionCode !== null && meanings[connectionCode] !== undefined) return meanings[connectionCode];
  if (meanings[failure.name] !== undefined) return meanings[failure.name];
  // The SDK could not parse the response: cut off, or not from an S3 store.
  if (failure.$metadata !== undefined) {
    return {
      kind: 'unavailable',
      advice: 'The response was cut off or is not from an S3 store: check S3_ENDPOINT.',
    };
  }
  return connectionCode === null ? undefined : cutOff;
}

/** S3's code; null when there was no readable response. */
function s3CodeOf(failure: FailedCall): string | null {
  const status = failure.$metadata?.httpStatusCode;
  if (status === undefined) return null;
  const isNamed = failure.name !== 'Unknown' && failure.name !== 'UnknownError' && failure.name !== 'Error';
  if (isNamed) return failure.name;
  if (status < 300) return null;
  return codeOfStatus[status] ?? (status >= 500 ? 'ServiceUnavailable' : `HTTP ${status}`);
}

function connectionCodeOf(failure: FailedCall): string | null {
  return typeof failure.code === 'string' ? failure.code : null;
}

/** HTTP status of the failed response; null without a response. */
export function statusOf({ cause }: BucketError): number | null {
  return (cause as Partial<FailedCall> | undefined)?.$metadata?.httpStatusCode ?? null;
}

/** Signatures and tokens travel in query strings, and a store may quote the URL. */
function withoutQuery(message: string): string {
  return message.replaceAll(/\?\S+/g, '?…');
}

/** Stores accept signatures with a smaller difference (S3: 15 minutes), so a smaller one is not the cause. */
const MIN_DIFFERENCE_MS = 5 * 60_000;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const consequence =
  'The store refuses this server’s signatures until the clock is correct; the server then continues automatically.';

/** The response as the SDK's error stores it; only the header `Date` is used. */
interface DatedFailure {
  readonly $response?: { readonly headers?: Readonly<Record<string, string | undefined>> };
}

/** Recognizes S3's code, or the message with which stores refuse a presigned URL that was just signed. */
function isClockRefusal(s3Code: string, message: string): boolean {
  if (s3Code === 'RequestTimeTooSkewed' || s3Code === 'RequestExpired') return true;
  return s3Code === 'AccessDenied' && /has expired|not valid yet|not yet valid/i.test(message);
}

/** Reports the difference between this machine's clock and the store's, if the response has a `Date`. */
function clockAdvice(failure: object): string {
  const date = (failure as DatedFailure).$response?.headers?.['date'];
  const differenceMs = date === undefined ? Number.NaN : Date.now() - Date.parse(date);
  if (Number.isNaN(differenceMs) || Math.abs(differenceMs) < MIN_DIFFERENCE_MS) {
    return `Synchronise this machine's clock: it differs too much from the store's. ${consequence}`;
  }
  const direction = differenceMs < 0 ? 'behind' : 'ahead of';
  return `Synchronise this machine's clock, which is ${inWords(Math.abs(differenceMs))} ${direction} the store's. ${consequence}`;
}

function inWords(ms: number): string {
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / MINUTE_MS)} minutes`;
  if (ms < 48 * HOUR_MS) return `${Math.round(ms / HOUR_MS)} hours`;
  return `${Math.round(ms / (24 * HOUR_MS))} days`;
}
