import { createHash } from 'node:crypto';
import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import type { IncomingMessage } from 'node:http';
import { encodeKey, frameChunks, presignQuery, queryString, signHeaders } from './sign.ts';

export const ACCESS_KEY = 'test-access';
export const SECRET_KEY = 'test-secret';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** Code of an error document. */
  readonly code: string | undefined;
}

export interface RawRequest {
  readonly method: string;
  /** Request target as sent. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
}

export interface SignedCall {
  readonly query?: Readonly<Record<string, string>>;
  /** Headers to sign. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Headers to send without signing them. */
  readonly unsignedHeaders?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** Default: SHA-256 of the body. */
  readonly payloadHash?: string;
  readonly accessKey?: string;
  readonly secretKey?: string;
  readonly region?: string;
  readonly date?: Date;
}

/** Returns the text of the first element with this name. */
export function elementText(xml: string, name: string): string | undefined {
  return elementTexts(xml, name)[0];
}

export function elementTexts(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, text = '']) => text);
}

export const sha256Hex = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

/** A client that uses plain `node:http` and the tests' own signer. */
export class TestClient implements Disposable {
  readonly url: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });

  constructor(url: string) {
    this.url = new URL(url);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async raw({ method, target, headers, body }: RawRequest): Promise<Reply> {
    const outgoing = request({
      host: this.url.hostname,
      port: this.url.port,
      method,
      path: target,
      headers,
      agent: this.#agent,
    });
    outgoing.end(body);
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    const bytes = await buffer(incoming);
    const text = bytes.length < 1_000_000 ? bytes.toString('utf8') : '';
    return {
      status: incoming.statusCode ?? 0,
      headers: incoming.headers,
      body: bytes,
      text,
      code: elementText(text, 'Code'),
    };
  }

  /** Returns the request that `call` would send. @param path `/bucket/key`, unencoded */
  signed(method: string, path: string, call: SignedCall = {}): RawRequest {
    const body = call.body === undefined ? undefined : Buffer.from(call.body);
    const encoded = encodeKey(path);
    const query = call.query ?? {};
    const { headers } = signHeaders(
      {
        method,
        path: encoded,
        query,
        headers: { host: this.url.host, ...call.headers },
        accessKey: call.accessKey ?? ACCESS_KEY,
        secretKey: call.secretKey ?? SECRET_KEY,
        ...(call.region !== undefined && { region: call.region }),
        ...(call.date !== undefined && { date: call.date }),
      },
      call.payloadHash ?? sha256Hex(body ?? ''),
    );
    const search = queryString(query);
    return {
      method,
      target: search === '' ? encoded : `${encoded}?${search}`,
      headers: { ...headers, ...call.unsignedHeaders, 'content-length': String(body?.length ?? 0) },
      body,
    };
  }

  async call(method: string, path: string, call: SignedCall = {}): Promise<Reply> {
    return await this.raw(this.signed(method, path, call));
  }

  /** Returns path and query of a presigned URL. `headers` are signed. */
  presign(
    method: string,
    path: string,
    call: SignedCall & { readonly expiresInSeconds?: number | string } = {},
  ): string {
    const encoded = encodeKey(path);
    const query = presignQuery(
      {
        method,
        path: encoded,
        query: call.query ?? {},
        headers: { host: this.url.host, ...call.headers },
        accessKey: call.accessKey ?? ACCESS_KEY,
        secretKey: call.secretKey ?? SECRET_KEY,
        ...(call.region !== undefined && { region: call.region }),
        ...(call.date !== undefined && { date: call.date }),
      },
      call.expiresInSeconds ?? 300,
    );
    return `${encoded}?${queryString(query)}`;
  }

  async putPresigned(
    target: string,
    body: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    return await this.raw({
      method: 'PUT',
      target,
      headers: { host: this.url.host, 'content-length': String(body.length), ...headers },
      body,
    });
  }

  /** Sends a PUT with a body framed as `aws-chunked`; `corrupt` may change the frames after signing. */
  async putChunked(
    path: string,
    chunks: readonly Buffer[],
    options: {
      readonly signChunks: boolean;
      readonly trailer?: readonly [name: string, value: string];
      readonly headers?: Readonly<Record<string, string>>;
      readonly query?: Readonly<Record<string, string>>;
      readonly corrupt?: (frames: Buffer) => Buffer;
    },
  ): Promise<Reply> {
    const { signChunks, trailer } = options;
    const payloadHash = `STREAMING-${signChunks ? 'AWS4-HMAC-SHA256' : 'UNSIGNED'}-PAYLOAD${trailer ? '-TRAILER' : ''}`;
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const query = options.query ?? {};
    const signed = signHeaders(
      {
        method: 'PUT',
        path: encodeKey(path),
        query,
        headers: {
          host: this.url.host,
          'content-encoding': 'aws-chunked',
          'x-amz-decoded-content-length': String(size),
          ...(trailer && { 'x-amz-trailer': trailer[0] }),
          ...options.headers,
        },
        accessKey: ACCESS_KEY,
        secretKey: SECRET_KEY,
      },
      payloadHash,
    );
    const frames = frameChunks(chunks, { ...(signChunks && { signed }), ...(trailer && { trailer }) });
    const body = options.corrupt?.(frames) ?? frames;
    return await this.raw({
      method: 'PUT',
      target: `${encodeKey(path)}?${queryString(query)}`,
      headers: { ...signed.headers, 'content-length': String(body.length) },
      body,
    });
  }

  /** @returns the upload's id */
  async createUpload(path: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const { text, status } = await this.call('POST', path, { query: { uploads: '' }, headers });
    const id = elementText(text, 'UploadId');
    if (status !== 200 || id === undefined) throw new Error(`CreateMultipartUpload: ${status} ${text}`);
    return id;
  }

  async uploadPart(
    path: string,
    part: { readonly uploadId: string; readonly number: number; readonly body: Buffer },
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    return await this.call('PUT', path, {
      query: { uploadId: part.uploadId, partNumber: String(part.number) },
      headers,
      body: part.body,
    });
  }

  async completeUpload(
    path: string,
    uploadId: string,
    options: {
      readonly parts: ReadonlyArray<Readonly<Record<string, string | number>>>;
      readonly headers?: Readonly<Record<string, string>>;
    },
  ): Promise<Reply> {
    const parts = options.parts.map(
      (part) =>
        `<Part>${Object.entries(part)
          .map(([name, value]) => `<${name}>${value}</${name}>`)
          .join('')}</Part>`,
    );
    return await this.call('POST', path, {
      query: { uploadId },
      headers: options.headers ?? {},
      body: `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join('')}</CompleteMultipartUpload>`,
    });
  }
}
