import { HeadBucketCommand } from '@aws-sdk/client-s3';
import type { ChecksumMode, Finding } from '@backhaul/protocol';
import {
  type Bucket,
  type BucketCapabilities,
  BucketError,
  type CallOptions,
  type CompletedPart,
  type ListedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PartToSign,
  type PendingUpload,
  type SignedWindow,
  type VersionOptions,
} from '../domain/ports/bucket.ts';
import type { Clock } from '../domain/ports/clock.ts';
import { systemClock } from '../system-clock.ts';
import { CredentialSource } from './credential-source.ts';
import {
  abortUpload,
  completeUpload,
  createUpload,
  deleteObject,
  headObject,
  listParts,
  listUploads,
  putEmptyObject,
} from './object-calls.ts';
import {
  type BucketAddress,
  bucketAddress,
  signGetUrl,
  type SigningWindow,
  signingWindow,
  signPartUrl,
} from './presigned-url.ts';
import { probeCapabilities } from './probe/capability-probe.ts';
import { CapabilityProber } from './probe/capability-prober.ts';
import { changeFindings, trialFinding } from './probe/findings.ts';
import { tryFullPart } from './probe/full-part-trial.ts';
import { raceAbort } from './retry.ts';
import { defaultTiming, S3Connection, type S3Timing } from './s3-connection.ts';
import type { S3Settings } from './s3-settings.ts';
import { checkBucket } from './setup/bucket-check.ts';

interface S3BucketOptions {
  readonly clock?: Clock;
  readonly timing?: S3Timing;
}

/** S3 or a compatible store. Uses only features that the probe found supported. */
export class S3Bucket implements Bucket {
  readonly name: string;
  readonly #connection: S3Connection;
  readonly #clock: Clock;
  readonly #credentials: CredentialSource;
  readonly #ownAddress: BucketAddress;
  readonly #publicAddress: BucketAddress;
  readonly #prober: CapabilityProber;
  readonly #closing = new AbortController();
  #fullPart: Promise<Finding[]> | undefined;

  /** @throws Error when endpoint, region and bucket name do not form an address. */
  constructor(settings: S3Settings, options: S3BucketOptions = {}) {
    const { clock = systemClock, timing = defaultTiming } = options;
    this.name = settings.bucket;
    this.#clock = clock;
    this.#connection = new S3Connection(settings, timing);
    const { client, resolveEndpoint } = this.#connection;
    this.#credentials = new CredentialSource(async (ask) => client.config.credentials(ask), clock);
    this.#ownAddress = bucketAddress(resolveEndpoint, settings, settings.endpoint);
    this.#publicAddress = bucketAddress(
      resolveEndpoint,
      settings,
      settings.publicEndpoint ?? settings.endpoint,
    );
    this.#prober = new CapabilityProber(async (signal) =>
      probeCapabilities(
        this.#connection,
        async (upload, part, mode) =>
          signPartUrl(this.#ownAddress, await this.#signingWindow(), { upload, part, mode }),
        { signal },
      ),
    );
  }

  async capabilities(options: CallOptions = {}): Promise<BucketCapabilities> {
    return (await this.#prober.report(options)).capabilities;
  }

  /**
   * Probes the store again and checks the configuration of the bucket.
   *
   * @throws BucketError `unavailable`; `refused` if no probe has succeeded yet.
   */
  async diagnose(options: CallOptions = {}): Promise<Finding[]> {
    const tried = await this.#probeAgain(options);
    const capabilities = this.#prober.known?.capabilities;
    const found = await Promise.all([
      this.#tryFullPart(options),
      checkBucket(this.#connection, { ...options, capabilities }),
    ]);
    return [...tried, ...found.flat()];
  }

  async createMultipartUpload(
    request: { key: string; token: string; checksumMode: ChecksumMode },
    options: CallOptions = {},
  ): Promise<MultipartUpload> {
    const { key, token, checksumMode } = request;
    const traits = { ...(await this.capabilities(options)), checksumMode };
    return createUpload(this.#connection, { key, token, traits }, options);
  }

  async signParts(
    upload: MultipartUpload,
    parts: readonly PartToSign[],
    mode: ChecksumMode,
  ): Promise<SignedWindow> {
    const window = await this.#signingWindow();
    const urls = parts.map((part) => signPartUrl(this.#publicAddress, window, { upload, part, mode }));
    return { urls, expiresAt: window.expiresAt };
  }

  async listParts(upload: MultipartUpload, options: CallOptions = {}): Promise<ListedPart[]> {
    return listParts(this.#connection, upload, options);
  }

  listMultipartUploads(keyPrefix: string, options: CallOptions = {}): AsyncIterable<PendingUpload> {
    return listUploads(this.#connection, keyPrefix, options);
  }

  async completeMultipartUpload(
    upload: MultipartUpload,
    request: {
      parts: readonly CompletedPart[];
      sizeBytes: number;
      crc32: string;
      checksumMode: ChecksumMode;
    },
    options: CallOptions = {},
  ): Promise<void> {
    const { parts, sizeBytes, crc32, checksumMode } = request;
    const capabilities = await this.capabilities(options);
    const completion = {
      parts,
      checksumMode,
      fullObjectCrc32: checksumMode === 'crc32' && capabilities.fullObjectChecksum ? crc32 : null,
      objectSizeBytes: capabilities.objectSizeCheck ? sizeBytes : null,
      onlyIfAbsent: capabilities.conditionalComplete,
    };
    await completeUpload(this.#connection, { upload, completion }, options);
  }

  async putEmptyObject(request: { key: string; token: string }, options: CallOptions = {}): Promise<void> {
    const traits = await this.capabilities(options);
    const { emptyObjectCrc32: withCrc32, conditionalPut: onlyIfAbsent } = traits;
    await putEmptyObject(this.#connection, { ...request, traits, withCrc32, onlyIfAbsent }, options);
  }

  async abortMultipartUpload(upload: MultipartUpload, options: CallOptions = {}): Promise<void> {
    await abortUpload(this.#connection, upload, options);
  }

  async head(key: string, options: VersionOptions = {}): Promise<ObjectFacts | undefined> {
    return headObject(this.#connection, key, options);
  }

  async deleteObject(key: string, options: VersionOptions = {}): Promise<void> {
    try {
      await deleteObject(this.#connection, key, options);
    } catch (error) {
      const missing = ['NoSuchKey', 'NoSuchVersion', 'NotFound'];
      if (!(error instanceof BucketError && missing.includes(error.s3Code ?? ''))) throw error;
    }
  }

  async signGet(request: { key: string; versionId: string | null; fileName: string }): Promise<string> {
    return signGetUrl(this.#publicAddress, await this.#signingWindow(), request);
  }

  async ping(options: CallOptions = {}): Promise<void> {
    const command = new HeadBucketCommand({ Bucket: this.name });
    await this.#connection.send('HeadBucket', command, {
      ...options,
      policy: this.#connection.timing.ping,
    });
  }

  /** Idempotent; running calls fail. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the bucket was closed'));
    await Promise.allSettled([this.#prober.close(), this.#fullPart]);
    this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Permissions and keys may have changed since the start. */
  async #probeAgain(options: CallOptions): Promise<Finding[]> {
    const reliedOn = this.#prober.known;
    try {
      const { findings, capabilities } = await this.#prober.freshReport(options);
      return [...findings, ...changeFindings(reliedOn?.capabilities ?? capabilities, capabilities)];
    } catch (error) {
      if (reliedOn === undefined || !(error instanceof BucketError) || error.kind !== 'refused') throw error;
      return [trialFinding(error)];
    }
  }

  /** Shared by concurrent callers: each run sends 5 MiB or 10. */
  async #tryFullPart({ signal }: CallOptions): Promise<Finding[]> {
    this.#fullPart ??= this.#sendFullPart({ signal: this.#closing.signal }).finally(() => {
      this.#fullPart = undefined;
    });
    return raceAbort(this.#fullPart, signal);
  }

  async #sendFullPart(options: CallOptions): Promise<Finding[]> {
    const addresses = { own: this.#ownAddress, public: this.#publicAddress };
    try {
      const capabilities = await this.capabilities(options);
      const window = await this.#signingWindow();
      return await tryFullPart(this.#connection, { addresses, capabilities, window }, options);
    } catch (error) {
      // The failure to create a trial upload is already a finding.
      if (error instanceof BucketError && error.kind === 'refused') return [];
      throw error;
    }
  }

  async #signingWindow(): Promise<SigningWindow> {
    const { presignExpirySeconds } = this.#connection.settings;
    const credentials = await this.#credentials.lasting(presignExpirySeconds * 1000);
    return signingWindow(credentials, this.#clock.now(), presignExpirySeconds);
  }
}
