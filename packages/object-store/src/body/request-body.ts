import { createHash } from 'node:crypto';
import { checksumHeader, type Checksum, type ChecksumAlgorithm } from '../checksum/algorithm.ts';
import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import type { Authentication } from '../signature/authenticate.ts';
import { decodeAwsChunked } from './aws-chunked.ts';
import { DigestedContent, type DigestOptions, type PartContent } from './digested-content.ts';
import {
  announcedTrailers,
  checkChecksumValue,
  claimedChecksum,
  claimedMd5,
  payloadForm,
  payloadSize,
} from './payload-headers.ts';

const XML_LIMIT_BYTES = 4 * 1024 * 1024;
/** S3's limit for one PUT or one part: 5 GiB. */
const CONTENT_LIMIT_BYTES = 5 * 1024 ** 3;

interface RequestBodySource {
  readonly headers: RequestHeaders;
  readonly authentication: Authentication;
  /** Starts the transfer: responds to a pending `Expect: 100-continue`, then yields the raw bytes. */
  readonly receive: () => AsyncIterable<Buffer>;
}

/** Properties of the payload given in the headers, validated before any byte is read. */
interface ContentClaims {
  /** Algorithm of the checksum in a header or announced trailer. */
  readonly algorithm: ChecksumAlgorithm | undefined;
  readonly sizeBytes: number;
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
    const md5 = claimedMd5(headers);
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
    const claimedValue = (): Checksum | undefined => {
      if (claimed === undefined) return undefined;
      const trailing = trailers.get(checksumHeader(claimed.algorithm)) ?? '';
      const value = claimed.value ?? checkChecksumValue(claimed.algorithm, trailing);
      return { algorithm: claimed.algorithm, value };
    };
    return new DigestedContent(
      exactly(sha256Checked(payload, form.sha256), sizeBytes),
      options.algorithm ?? claimed?.algorithm,
      {
        md5: md5 !== undefined || options.wanted?.md5 !== false,
        verify: (content) => {
          if (md5 !== undefined && md5 !== content.md5) {
            throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
          }
          checkComputed(content.checksum, claimedValue());
        },
      },
    );
  }
}

function checkComputed(computed: Checksum | undefined, claimed: Checksum | undefined): void {
  if (claimed === undefined) return;
  if (claimed.algorithm !== computed?.algorithm) {
    throw new TypeError(`The ${claimed.algorithm} of the request was not computed.`);
  }
  if (claimed.value !== computed.value) {
    throw new S3Error(
      'BadDigest',
      `The ${claimed.algorithm} you specified did not match the calculated checksum.`,
    );
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
