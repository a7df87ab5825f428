import { createHash } from 'node:crypto';
import { ListObjectsV2Command, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { noProxies, proxyFor } from '@backhaul/program';
import { BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import type { EndpointResolver } from './bucket-address.ts';
import { KeptConnections } from './kept-connections.ts';
import { type RetryPolicy, retrying } from './retry.ts';
import { statusOf, toBucketError } from './s3-errors.ts';
import { type S3Settings, storeUrl } from './s3-settings.ts';

export interface S3Timing {
  readonly connectTimeoutMs: number;
  /** No byte either way. Longer than {@link calls} allows an attempt: only Complete stays silent for minutes. */
  readonly socketIdleMs: number;
  readonly calls: RetryPolicy;
  /** Sent once: whether it took effect is the caller's to find out. */
  readonly complete: RetryPolicy;
  readonly ping: RetryPolicy;
  /**
   * For the PUT of a part of full size in a diagnosis, to each address, and for its removal. A slow line is no fault, and
   * the start waits for this.
   */
  readonly fullPartMs: number;
}

const once = { maxAttempts: 1, baseDelayMs: 0, maxDelayMs: 0 } as const;

export const defaultTiming: S3Timing = {
  connectTimeoutMs: 5_000,
  socketIdleMs: 120_000,
  calls: {
    maxAttempts: 5,
    attemptTimeoutMs: 20_000,
    deadlineMs: 60_000,
    baseDelayMs: 100,
    maxDelayMs: 5_000,
  },
  // S3 may take minutes to put 10,000 parts together.
  complete: { ...once, attemptTimeoutMs: 300_000, deadlineMs: 300_000 },
  ping: { ...once, attemptTimeoutMs: 5_000, deadlineMs: 5_000 },
  fullPartMs: 6_000,
};

export interface S3CallOptions extends CallOptions {
  readonly policy?: RetryPolicy;
}

/** The SDK client with this project's time-outs, retries and verdicts on errors around it. */
export class S3Connection {
  readonly settings: S3Settings;
  readonly client: S3Client;
  readonly timing: S3Timing;
  /** The SDK's rules from bucket and endpoint to address. */
  readonly resolveEndpoint: EndpointResolver;
  readonly #connections: KeptConnections;

  constructor(settings: S3Settings, timing: S3Timing = defaultTiming) {
    this.settings = settings;
    this.timing = timing;
    this.#connections = new KeptConnections(proxyFor(storeUrl(settings), settings.proxies ?? noProxies));
    this.client = createClient(settings, timing, this.#connections);
    const { config } = this.client;
    const resolve = config.endpointProvider;
    this.resolveEndpoint = resolve;
    // The SDK would take AWS_ENDPOINT_URL behind our back, and URLs would be signed for another host than is called.
    config.endpointProvider = (parameters, context) =>
      resolve({ ...parameters, Endpoint: settings.endpoint }, context);
  }

  /**
   * @param operation As S3 names it; it selects the verdict on an error.
   * @throws BucketError
   */
  async call<T>(
    operation: string,
    send: (client: S3Client, call: { abortSignal: AbortSignal }) => Promise<T>,
    options: S3CallOptions = {},
  ): Promise<T> {
    const { signal, policy = this.timing.calls } = options;
    const place = { operation, bucket: this.settings.bucket };
    const isTransient = (error: unknown) => error instanceof BucketError && error.kind === 'unavailable';
    try {
      return await retrying(policy, { signal, isTransient }, async (abortSignal) => {
        try {
          return await send(this.client, { abortSignal });
        } catch (error) {
          if (signal?.aborted !== true && gotNoAnswer(error, abortSignal)) this.#connections.dropIdle();
          if (abortSignal.aborted) throw error;
          const verdict = toBucketError(error, place);
          throw (await this.#explanationOf(verdict, operation, abortSignal)) ?? verdict;
        }
      });
    } catch (error) {
      throw signal?.aborted === true ? error : toBucketError(error, place);
    }
  }

  /**
   * A response to HEAD has no body, so it cannot say which 403 or 400 it is: a listing, which takes the same right, can.
   *
   * @returns undefined if there is nothing to explain, or nothing else to say.
   */
  async #explanationOf(verdict: unknown, operation: string, abortSignal: AbortSignal): Promise<unknown> {
    if (!(verdict instanceof BucketError) || !isUnexplained(operation, verdict)) return undefined;
    const { bucket } = this.settings;
    try {
      await this.client.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1 }), { abortSignal });
      return undefined;
    } catch (error) {
      return toBucketError(error, { operation: 'ListObjectsV2', bucket });
    }
  }

  /** A fault that no retry of a single call can see: an answer without what it must hold. */
  unreadable(operation: string, missing: string): BucketError {
    return new BucketError(
      'unavailable',
      `${operation} on bucket "${this.settings.bucket}": the answer holds no ${missing}; is S3_ENDPOINT an S3 store?`,
    );
  }

  close(): void {
    this.client.destroy();
  }
}

function isUnexplained(operation: string, error: BucketError): boolean {
  const status = statusOf(error) ?? 0;
  if (status < 300 || status >= 500) return false;
  // Of an object, 404 says enough.
  return operation === 'HeadBucket' || (operation === 'HeadObject' && status !== 404);
}

/** Its own time had run out, or that of the SDK for the connection. */
function gotNoAnswer(error: unknown, attempt: AbortSignal): boolean {
  return attempt.aborted || (error instanceof Error && error.name === 'TimeoutError');
}

function createClient(
  settings: S3Settings,
  timing: S3Timing,
  { httpAgent, httpsAgent }: KeptConnections,
): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = settings;
  const config: S3ClientConfig = {
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    // By default the SDK signs a checksum of nothing into presigned URLs, and older stores refuse its trailers.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
    // It would sign by the store's clock what the SDK sends, but not the URLs given to agents: a wrong clock would show
    // only there.
    disableClockSkewCorrection: true,
    requestHandler: {
      connectionTimeout: timing.connectTimeoutMs,
      socketTimeout: timing.socketIdleMs,
      httpAgent,
      httpsAgent,
    },
  };
  if (settings.endpoint !== undefined) config.endpoint = settings.endpoint;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    config.credentials = {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
    };
  }
  const client = new S3Client(config);
  sendContentMd5(client);
  return client;
}

/**
 * Bucket configuration must carry a checksum. The SDK sends a CRC32, which older stores do not know; all know
 * Content-MD5, which the SDK no longer sends.
 */
function sendContentMd5(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { body?: unknown; headers: Record<string, string> };
      const checksums = Object.keys(request.headers).filter((name) => /^x-amz-(sdk-)?checksum-/.test(name));
      if (typeof request.body === 'string' && checksums.length > 0 && isBucketConfiguration(args.input)) {
        for (const name of checksums) delete request.headers[name];
        request.headers['content-md5'] = createHash('md5').update(request.body).digest('base64');
      }
      return next(args);
    },
    { step: 'build', priority: 'low', name: 'sendContentMd5' },
  );
}

function isBucketConfiguration(input: object): boolean {
  return 'Bucket' in input && !('Key' in input);
}
