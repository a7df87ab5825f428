import { createHash } from 'node:crypto';
import type { Checksum, ChecksumAlgorithm } from '../checksum/algorithm.ts';
import { checksumHeader } from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/headers.ts';
import type { Authentication } from '../signature/authenticate.ts';
import { decodeAwsChunked } from './aws-chunked.ts';
import { announcedTrailers, checkChecksumValue, claimedChecksum } from './claimed-checksum.ts';
import { DigestedContent, type PartContent, type DigestOptions } from './digested-content.ts';
import { payloadForm, payloadSize } from './payload.ts';

const XML_LIMIT_BYTES = 4 * 1024 * 1024;
/** S3's limit for one PUT or one part: 5 GiB. */
const CONTENT_LIMIT_BYTES = 5 * 1024 ** 3;

export interface RequestBodySource {
  readonly headers: RequestHeaders;
  readonly authentication: Authentication;
  /** Starts the transfer: responds to a pending `Expect: 100-continue`, then yields the raw bytes. */
  readonly receive: () => AsyncIterable<Buffer>;
}

/** Properties of the payload given in the headers, validated before any byte is read. */
export interface ContentClaims {
  /** Algorithm of the checksum in a header or announced trailer. */
  readonly algorithm: ChecksumAlgorithm | undefined;
  readonly sizeBytes: number;
}

function parseContentMd5(headers: RequestHeaders): string | undefined {
  const value = headers.get('content-md5');
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== 16 || bytes.toString('base64') !== value) throw new S3Error('InvalidDigest');
  return bytes.toString('hex');
}

/** A request's payload. Can be read at most once, and is verified against its headers. */
export class RequestBody {
  readonly #source: RequestBodySource;

  constructor(source: RequestBodySource) {
    this.#source = source;
  }

  get claims(): ContentClaims {
    const { headers, authentication } = this.#source;
    const form = payloadForm(authentication.payloadHash);
    return {
      algorithm: claimedChecksum(headers, form.trailers)?.algorithm,
      sizeBytes: payloadSize(headers, form) ?? 0,
    };
  }

  /**
   * Returns the payload as bytes to store; its size is required, even if it is 0. If the iteration ends without an error,
   * all digests, checksums, signatures and lengths of the request are correct.
   * @param algorithm checksum to compute; by default that of the request
   * @param wanted digests to compute; MD5 is also computed if the request contains one
   * @throws S3Error MissingContentLength
   */
  content(algorithm?: ChecksumAlgorithm, wanted?: DigestOptions): PartContent {
    const { headers, authentication } = this.#source;
    const sizeBytes = payloadSize(headers, payloadForm(authentication.payloadHash));
    if (sizeBytes === undefined) throw new S3Error('MissingContentLength');
    return this.#open({
      limitBytes: CONTENT_LIMIT_BYTES,
      tooLarge: 'EntityTooLarge',
      ownChecksum: true,
      algorithm,
      ...(wanted && { wanted }),
    });
  }

  /**
   * Returns the payload as text of at most 4 MiB.
   * @param ownChecksum false if `x-amz-checksum-*` is the checksum of the object and not of this document
   */
  async text(ownChecksum = true): Promise<string> {
    const content = this.#open({
      limitBytes: XML_LIMIT_BYTES,
      tooLarge: 'MaxMessageLengthExceeded',
      ownChecksum,
      algorithm: undefined,
    });
    const chunks: Buffer[] = [];
    for await (const chunk of content) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  }

  /** Reads and discards the payload without checks, for a test double that measures the sender. */
  async discard(): Promise<void> {
    for await (const chunk of this.#source.receive()) void chunk;
  }

  /** For operations without a body. @throws S3Error InvalidRequest if there is a payload */
  async expectEmpty(): Promise<void> {
    if (this.claims.sizeBytes > 0)
      throw new S3Error('InvalidRequest', 'This operation takes no request body.');
    for await (const chunk of this.#open({
      limitBytes: 0,
      tooLarge: 'InvalidRequest',
      ownChecksum: false,
      algorithm: undefined,
    })) {
      throw new TypeError(`An empty body had ${chunk.length} bytes.`);
    }
  }

  #open(options: {
    readonly limitBytes: number;
    readonly tooLarge: 'EntityTooLarge' | 'MaxMessageLengthExceeded' | 'InvalidRequest';
    readonly ownChecksum: boolean;
    readonly algorithm: ChecksumAlgorithm | undefined;
    readonly wanted?: DigestOptions;
  }): PartContent {
    const { headers, authentication, receive } = this.#source;
    const form = payloadForm(authentication.payloadHash);
    const sizeBytes = payloadSize(headers, form) ?? 0;
    if (sizeBytes > options.limitBytes) throw new S3Error(options.tooLarge);
    const claimed = options.ownChecksum ? claimedChecksum(headers, form.trailers) : undefined;
    const md5 = parseContentMd5(headers);
    let trailers: ReadonlyMap<string, string> = new Map();

    const payload = form.chunked
      ? () =>
          decodeAwsChunked(
            receive(),
            {
              authentication: form.chunksSigned ? authentication : undefined,
              trailerNames: form.trailers ? announcedTrailers(headers) : undefined,
            },
            (found) => (trailers = found),
          )
      : receive;
    const digested = new DigestedContent(
      exactly(sha256Checked(payload, form.sha256), sizeBytes),
      options.algorithm ?? claimed?.algorithm,
      { md5: md5 !== undefined || options.wanted?.md5 !== false },
    );
    const claimedValue = (): Checksum | undefined => {
      if (claimed === undefined) return undefined;
      const trailing = trailers.get(checksumHeader(claimed.algorithm)) ?? '';
      const value = claimed.value ?? checkChecksumValue(claimed.algorithm, trailing);
      return { algorithm: claimed.algorithm, value };
    };
    return new VerifiedContent(digested, { md5, checksum: claimedValue });
  }
}

async function* sha256Checked(
  payload: () => AsyncIterable<Buffer>,
  expected: string | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  if (expected === undefined) {
    yield* payload();
    return;
  }
  const hash = createHash('sha256');
  for await (const chunk of payload()) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') !== expected) throw new S3Error('XAmzContentSHA256Mismatch');
}

async function* exactly(
  chunks: AsyncIterable<Buffer>,
  sizeBytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  let received = 0;
  for await (const chunk of chunks) {
    received += chunk.length;
    if (received > sizeBytes) {
      throw new S3Error('InvalidRequest', 'The body is longer than the request announced.');
    }
    yield chunk;
  }
  if (received !== sizeBytes) throw new S3Error('IncompleteBody');
}

/** Content that throws at its end unless it matches the claims of the request. */
class VerifiedContent implements PartContent {
  readonly #content: DigestedContent;
  readonly #claims: { readonly md5: string | undefined; readonly checksum: () => Checksum | undefined };

  constructor(
    content: DigestedContent,
    claims: { readonly md5: string | undefined; readonly checksum: () => Checksum | undefined },
  ) {
    this.#content = content;
    this.#claims = claims;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    yield* this.#content;
    const { md5, checksum } = this.#claims;
    if (md5 !== undefined && md5 !== this.#content.md5) {
      throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
    }
    const claimed = checksum();
    if (claimed === undefined) return;
    if (claimed.algorithm !== this.#content.checksum?.algorithm) {
      throw new TypeError(`The ${claimed.algorithm} of the request was not computed.`);
    }
    if (claimed.value !== this.#content.checksum.value) {
      throw new S3Error(
        'BadDigest',
        `The ${claimed.algorithm} you specified did not match the calculated checksum.`,
      );
    }
  }

  get sizeBytes(): number {
    return this.#content.sizeBytes;
  }

  get md5(): string {
    return this.#content.md5;
  }

  get checksum(): Checksum | undefined {
    return this.#content.checksum;
  }
}
