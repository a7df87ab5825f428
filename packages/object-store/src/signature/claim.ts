import { S3Error, type S3ErrorCode } from '../errors.ts';
import type { SignedRequest } from './sigv4.ts';

/** The parsed, not yet verified signature of a request. */
export interface SignatureClaim {
  readonly presigned: boolean;
  readonly accessKey: string;
  /** `YYYYMMDD` */
  readonly scopeDate: string;
  readonly region: string;
  /** `YYYYMMDDTHHMMSSZ` */
  readonly amzDate: string;
  readonly signedAtMs: number;
  /** Set only for presigned requests. */
  readonly expiresInSeconds: number | undefined;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly payloadHash: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const WEEK_SECONDS = 604_800;

interface ParsedCredential {
  readonly accessKey: string;
  readonly scopeDate: string;
  readonly region: string;
}

function parseCredential(credential: string, refusal: S3ErrorCode): ParsedCredential {
  const fields = credential.split('/');
  // Access keys may contain slashes, the four fields of the scope cannot.
  const [scopeDate = '', region = '', service, terminator] = fields.slice(-4);
  const accessKey = fields.slice(0, -4).join('/');
  if (accessKey === '' || terminator !== 'aws4_request') {
    throw new S3Error(
      refusal,
      'The Credential must be of the form <access-key>/YYYYMMDD/<region>/s3/aws4_request.',
    );
  }
  if (service !== 's3') {
    throw new S3Error(refusal, `The Credential names the service "${service}"; this endpoint is "s3".`);
  }
  return { accessKey, scopeDate, region };
}

function parseSignedHeaders(list: string, refusal: S3ErrorCode): string[] {
  const names = list.split(';');
  const ordered = names.every((name, at) => name === name.toLowerCase() && (names[at - 1] ?? '') < name);
  if (!ordered)
    throw new S3Error(refusal, 'SignedHeaders must be lower case, sorted and without repetition.');
  return names;
}

/** @returns undefined unless the text is a valid time in ISO 8601's basic format, in UTC */
function parseAmzDate(amzDate: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(amzDate);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

function claimFromHeader(authorization: string, { headers }: SignedRequest): SignatureClaim {
  const refusal = 'AuthorizationHeaderMalformed';
  if (!authorization.startsWith(`${ALGORITHM} `)) {
    throw new S3Error(
      'InvalidRequest',
      `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM}.`,
    );
  }
  const fields = new Map<string, string>();
  for (const field of authorization.slice(ALGORITHM.length + 1).split(',')) {
    const equals = field.indexOf('=');
    fields.set(field.slice(0, equals).trim(), field.slice(equals + 1).trim());
  }
  const credential = fields.get('Credential');
  const signedHeaders = fields.get('SignedHeaders');
  const signature = fields.get('Signature');
  if (
    fields.size !== 3 ||
    credential === undefined ||
    signedHeaders === undefined ||
    signature === undefined
  ) {
    throw new S3Error(refusal, 'The authorization header must hold Credential, SignedHeaders and Signature.');
  }
  const payloadHash = headers.get('x-amz-content-sha256');
  if (payloadHash === undefined) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  }
  const date = headers.get('x-amz-date') ?? headers.get('date') ?? '';
  const signedAtMs = parseAmzDate(date) ?? Date.parse(date);
  if (Number.isNaN(signedAtMs)) {
    throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  }
  return {
    presigned: false,
    ...parseCredential(credential, refusal),
    amzDate: new Date(signedAtMs).toISOString().replaceAll(/[-:]|\.\d+/g, ''),
    signedAtMs,
    expiresInSeconds: undefined,
    signedHeaders: parseSignedHeaders(signedHeaders, refusal),
    signature,
    payloadHash,
  };
}

function claimFromQuery({ target, headers }: SignedRequest): SignatureClaim {
  const refusal = 'AuthorizationQueryParametersError';
  const parameter = (name: string): string => {
    const found = target.query.filter(([other]) => other === name);
    const value = found[0]?.[1];
    if (found.length !== 1 || value === undefined || value === '') {
      throw new S3Error(
        refusal,
        'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters, each once.',
      );
    }
    return value;
  };
  if (parameter('X-Amz-Algorithm') !== ALGORITHM) {
    throw new S3Error(refusal, `X-Amz-Algorithm only supports "${ALGORITHM}"`);
  }
  const amzDate = parameter('X-Amz-Date');
  const signedAtMs = parseAmzDate(amzDate);
  if (signedAtMs === undefined) {
    throw new S3Error(refusal, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  }
  const expires = parameter('X-Amz-Expires');
  const expiresInSeconds = /^\d{1,10}$/.test(expires) ? Number(expires) : Number.NaN;
  if (!(expiresInSeconds >= 1 && expiresInSeconds <= WEEK_SECONDS)) {
    throw new S3Error(
      refusal,
      `X-Amz-Expires must be a whole number of seconds from 1 to ${WEEK_SECONDS} (one week).`,
    );
  }
  const hashInQuery = target.query.find(([name]) => name.toLowerCase() === 'x-amz-content-sha256')?.[1];
  return {
    presigned: true,
    ...parseCredential(parameter('X-Amz-Credential'), refusal),
    amzDate,
    signedAtMs,
    expiresInSeconds,
    signedHeaders: parseSignedHeaders(parameter('X-Amz-SignedHeaders'), refusal),
    signature: parameter('X-Amz-Signature'),
    payloadHash: headers.get('x-amz-content-sha256') ?? hashInQuery ?? 'UNSIGNED-PAYLOAD',
  };
}

/** @throws S3Error AccessDenied for a request without a signature: this store has no anonymous access. */
export function readSignatureClaim(request: SignedRequest): SignatureClaim {
  const authorization = request.headers.get('authorization');
  const names = new Set(request.target.query.map(([name]) => name));
  const presigned = names.has('X-Amz-Signature') || names.has('X-Amz-Algorithm');
  if (request.headers.has('x-amz-security-token') || names.has('X-Amz-Security-Token')) {
    throw new S3Error(
      'InvalidToken',
      'This store issues no temporary credentials, so no session token is valid.',
    );
  }
  if (authorization !== undefined && presigned) {
    throw new S3Error('InvalidArgument', 'Only one auth mechanism allowed');
  }
  if (authorization !== undefined) return claimFromHeader(authorization, request);
  if (presigned) return claimFromQuery(request);
  throw new S3Error('AccessDenied');
}
