import { createHash, createHmac } from 'node:crypto';

/*
 * A second SigV4 signer, only for tests. It shares no code with the store's verification, so that an error in one is not
 * repeated in the other.
 */
export interface SigningInput {
  readonly method: string;
  /** Percent-encoded path as sent. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** All headers to sign, including `host`; in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region?: string;
  readonly date?: Date;
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();
const escape = (text: string): string =>
  [...Buffer.from(text)]
    .map((byte) =>
      /[A-Za-z0-9\-._~]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');

export function encodeKey(key: string): string {
  return key.split('/').map(escape).join('/');
}

export function queryString(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${escape(name)}=${escape(value)}`)
    .sort()
    .join('&');
}

interface Signed {
  readonly amzDate: string;
  readonly scope: string;
  readonly key: Buffer;
  readonly signature: string;
}

function sign(
  input: SigningInput,
  amzDate: string,
  payloadHash: string,
  query: Readonly<Record<string, string>>,
): Signed {
  const day = amzDate.slice(0, 8);
  const region = input.region ?? 'us-east-1';
  const scope = `${day}/${region}/s3/aws4_request`;
  const names = Object.keys(input.headers).sort();
  const canonical = `${input.method}\n${input.path}\n${queryString(query)}\n${names
    .map((name) => `${name}:${input.headers[name]}\n`)
    .join('')}\n${names.join(';')}\n${payloadHash}`;
  const key = hmac(hmac(hmac(hmac(`AWS4${input.secretKey}`, day), region), 's3'), 'aws4_request');
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${amzDate}\n${scope}\n${sha256(canonical)}`).toString('hex');
  return { amzDate, scope, key, signature };
}

/** Call it only once per request: a second call may return the next second. */
function amzDateOf({ date = new Date() }: SigningInput): string {
  return date.toISOString().replaceAll(/[-:]|\.\d+/g, '');
}

export interface HeaderSigned extends Signed {
  readonly headers: Readonly<Record<string, string>>;
}

/** Adds `x-amz-date`, `x-amz-content-sha256` and `authorization`. */
export function signHeaders(input: SigningInput, payloadHash: string): HeaderSigned {
  const amzDate = amzDateOf(input);
  const headers = { ...input.headers, 'x-amz-date': amzDate, 'x-amz-content-sha256': payloadHash };
  const signed = sign({ ...input, headers }, amzDate, payloadHash, input.query ?? {});
  const names = Object.keys(headers).sort().join(';');
  const authorization = `AWS4-HMAC-SHA256 Credential=${input.accessKey}/${signed.scope}, SignedHeaders=${names}, Signature=${signed.signature}`;
  return { ...signed, headers: { ...headers, authorization } };
}

/** Returns the query of a presigned URL. */
export function presignQuery(input: SigningInput, expiresInSeconds: number | string): Record<string, string> {
  const amzDate = amzDateOf(input);
  const day = amzDate.slice(0, 8);
  const query = {
    ...input.query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${input.accessKey}/${day}/${input.region ?? 'us-east-1'}/s3/aws4_request`,
    'X-Amz-Date': amzDate,
    'X-Amz-Expires': String(expiresInSeconds),
    'X-Amz-SignedHeaders': Object.keys(input.headers).sort().join(';'),
  };
  return { ...query, 'X-Amz-Signature': sign(input, amzDate, 'UNSIGNED-PAYLOAD', query).signature };
}

/** Frames chunks as `aws-chunked`; with `signed`, the chunks are signed in a chain that starts with it. */
export function frameChunks(
  chunks: readonly Buffer[],
  options: { readonly signed?: Signed; readonly trailer?: readonly [name: string, value: string] },
): Buffer {
  const { signed, trailer } = options;
  let previous = signed?.signature ?? '';
  const next = (kind: string, hashes: string): string => {
    if (signed === undefined) return '';
    const text = `AWS4-HMAC-SHA256-${kind}\n${signed.amzDate}\n${signed.scope}\n${previous}\n${hashes}`;
    return (previous = hmac(signed.key, text).toString('hex'));
  };
  const pieces: Array<string | Buffer> = [];
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    const signature = next('PAYLOAD', `${sha256('')}\n${sha256(chunk)}`);
    pieces.push(`${chunk.length.toString(16)}${signature && `;chunk-signature=${signature}`}\r\n`);
    if (chunk.length > 0) pieces.push(chunk, '\r\n');
  }
  if (trailer !== undefined) {
    const [name, value] = trailer;
    pieces.push(`${name}:${value}\r\n`);
    const signature = next('TRAILER', sha256(`${name}:${value}\n`));
    if (signature) pieces.push(`x-amz-trailer-signature:${signature}\r\n`);
  }
  pieces.push('\r\n');
  return Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
}
