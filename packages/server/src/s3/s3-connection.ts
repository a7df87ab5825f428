import { createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import {
  type $Command,
  ListObjectsV2Command,
  S3Client,
  type S3ClientConfig,
  type S3ClientResolvedConfig,
  type ServiceInputTypes,
  type ServiceOutputTypes,
} from '@aws-sdk/client-s3';
import { noProxies, proxyFor, type ProxyInUse } from '@backhaul/program';
import { BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import type { EndpointResolver } from './presigned-url.ts';
import { retrying, type RetryPolicy } from './retry.ts';
import { statusOf, toBucketError } from './s3-errors.ts';
import { type S3Settings, storeUrl } from './s3-settings.ts';

export interface S3Timing {
  readonly connectTimeoutMs: number;
  /**
   * Time without a byte in either direction. Longer than {@link calls} allows an attempt: only Complete stays silent
   * for minutes.
   */
  readonly socketIdleMs: number;
  readonly calls: RetryPolicy;
  /** Sent once; the caller has to find out whether it took effect. */
  readonly complete: RetryPolicy;
  readonly ping: RetryPolicy;
  /**
   * Time limit in a diagnosis for the PUT of a full-size part to each address, and for its removal. A slow connection
   * is not an error, and the start waits for this.
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
  // S3 may take minutes to assemble 10,000 parts.
  complete: { ...once, attemptTimeoutMs: 300_000, deadlineMs: 300_000 },
  ping: { ...once, attemptTimeoutMs: 5_000, deadlineMs: 5_000 },
  fullPartMs: 6_000,
};

export interface S3CallOptions extends CallOptions {
  readonly policy?: RetryPolicy;
}

/** The SDK client with this project's timeouts, retries and error classification. */
export class S3Connection {
  readonly settings: S3Settings;
  readonly client: S3Client;
  readonly timing: S3Timing;
  /** The SDK's rules from bucket and endpoint to address. */
  readonly resolveEndpoint: EndpointResolver;
  readonly #agents: HttpAgents;

  constructor(settings: S3Settings, timing: S3Timing = defaultTiming) {
    this.settings = settings;
    this.timing = timing;
    this.#agents = new HttpAgents(proxyFor(storeUrl(settings), settings.proxies ?? noProxies));
    this.client = createClient(settings, timing, this.#agents);
    const { config } = this.client;
    const resolve = config.endpointProvider;
    this.resolveEndpoint = resolve;
    // The SDK would silently use AWS_ENDPOINT_URL, and URLs would be signed for another host than the one called.
    config.endpointProvider = (parameters, context) =>
      resolve({ ...parameters, Endpoint: settings.endpoint }, context);
  }

  /**
   * Sends one command of the SDK.
   *
   * @param operation S3's name of the operation; selects how errors are classified.
   * @throws BucketError
   */
  async send<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    operation: string,
    command: $Command<Input, Output, S3ClientResolvedConfig, ServiceInputTypes, ServiceOutputTypes>,
    options?: S3CallOptions,
  ): Promise<Output> {
    return this.call(operation, async (abortSignal) => this.client.send(command, { abortSignal }), options);
  }

  /** Runs another request to the store under the same rules as {@link send}. */
  async call<T>(
    operation: string,
    attempt: (signal: AbortSignal) => Promise<T>,
    options: S3CallOptions = {},
  ): Promise<T> {
    const { signal, policy = this.timing.calls } = options;
    const failed = { operation, bucket: this.settings.bucket };
    const isTransient = (error: unknown) => error instanceof BucketError && error.kind === 'unavailable';
    try {
      return await retrying(policy, { signal, isTransient }, async (abortSignal) => {
        try {
          return await attempt(abortSignal);
        } catch (error) {
          if (signal?.aborted !== true && timedOut(error, abortSignal)) this.#agents.dropIdle();
          if (abortSignal.aborted) throw error;
          const translated = toBucketError(error, failed);
          throw (await this.#explanationOf(translated, operation, abortSignal)) ?? translated;
        }
      });
    } catch (error) {
      throw signal?.aborted === true ? error : toBucketError(error, failed);
    }
  }

  /**
   * A response to HEAD has no body, so it does not say which 403 or 400 it is. A listing needs the same permission
   * and does.
   *
   * @returns undefined if there is nothing to explain, or the listing succeeds.
   */
  async #explanationOf(translated: unknown, operation: string, abortSignal: AbortSignal): Promise<unknown> {
    if (!(translated instanceof BucketError) || !isUnexplained(operation, translated)) return undefined;
    const { bucket } = this.settings;
    try {
      await this.client.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1 }), { abortSignal });
      return undefined;
    } catch (error) {
      return toBucketError(error, { operation: 'ListObjectsV2', bucket });
    }
  }

  /** Error for a response that lacks a required field; retrying a single call cannot help. */
  unreadable(operation: string, missing: string): BucketError {
    return new BucketError(
      'unavailable',
      `${operation} on bucket "${this.settings.bucket}": the response contains no ${missing}; is S3_ENDPOINT an S3 store?`,
    );
  }

  close(): void {
    this.client.destroy();
  }
}

function isUnexplained(operation: string, error: BucketError): boolean {
  const status = statusOf(error) ?? 0;
  if (status < 300 || status >= 500) return false;
  // For an object, 404 is explanation enough.
  return operation === 'HeadBucket' || (operation === 'HeadObject' && status !== 404);
}

/** The attempt's timeout or the SDK's connection timeout expired. */
function timedOut(error: unknown, attempt: AbortSignal): boolean {
  return attempt.aborted || (error instanceof Error && error.name === 'TimeoutError');
}

function createClient(
  settings: S3Settings,
  timing: S3Timing,
  { httpAgent, httpsAgent }: HttpAgents,
): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = settings;
  const config: S3ClientConfig = {
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    // By default the SDK signs a checksum of an empty body into presigned URLs, and older stores refuse its trailers.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
    // Otherwise the SDK would sign its own calls by the store's clock, but not the URLs given to agents: a wrong
    // clock would show only there.
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

const MAX_SOCKETS = 50;

/** The HTTP agents, which keep connections to the store alive for later calls. */
class HttpAgents {
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;

  /** @param proxy Proxy used to reach the store. */
  constructor(proxy: ProxyInUse | null) {
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(proxy && { proxyEnv: proxy.proxyEnv }) };
    this.httpAgent = new http.Agent(options);
    this.httpsAgent = new https.Agent(options);
  }

  /**
   * Call when a connection has fallen silent: the cause (a router that lost its state, a failover) has likely
   * affected the idle ones too, and each would cost a call another timeout.
   */
  dropIdle(): void {
    for (const { freeSockets } of [this.httpAgent, this.httpsAgent]) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) socket.destroy();
    }
  }
}
