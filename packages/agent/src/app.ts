import { arch, hostname } from 'node:os';
import { dirname } from 'node:path';
import { proxyFor, type ProxyVariables, unreadableProxies } from '@backhaul/program';
import {
  type AgentMessageInput,
  commandNames,
  EMPTY_OBJECT_CAPABILITY,
  isLoopbackHost,
  LIST_PAGES_CAPABILITY,
  RESUME_CAPABILITY,
  TOKEN_RENEWAL_CAPABILITY,
  UPLOAD_LIMITS_CAPABILITY,
} from '@backhaul/protocol';
import { type AgentConfig, UsageError } from './config.ts';
import { ClientCertificateSource } from './connection/client-certificate.ts';
import { ServerLink } from './connection/server-link.ts';
import { defaultReconnectTimings, type ReconnectTimings } from './connection/connection-end.ts';
import { type ConnectionTimings, defaultConnectionTimings } from './connection/server-connection.ts';
import { RenewableToken } from './credentials/renewable-token.ts';
import { type TokenSource, tokenSource } from './credentials/token-source.ts';
import { BufferPool, MAX_SLICES } from './file/buffer-pool.ts';
import { FileGate } from './file/file-gate.ts';
import { FileCallTimeout } from './file/file-call-timeout.ts';
import { openFile } from './file/open-file.ts';
import { Hashers } from './hashing/hashers.ts';
import type { Log } from './log.ts';
import { MessageRouter } from './messages/message-router.ts';
import { currentPlatform } from './platform/current-platform.ts';
import { hostIds } from './platform/host-ids.ts';
import type { Platform } from './platform/platform.ts';
import { AllowList } from './policy/allow-list.ts';
import { OwnFiles } from './policy/own-files.ts';
import { StoragePolicy } from './policy/storage-policy.ts';
import { ResponseTimeout } from './transfer/response-timeout.ts';
import { PartParallelism } from './transfer/part-parallelism.ts';
import { PutQueue } from './transfer/put-queue.ts';
import { RateLimit } from './transfer/rate-limit.ts';
import { StorageClient } from './transfer/storage-client.ts';
import { defaultTimings, type TransferTimings } from './transfer/timings.ts';
import { Transfers } from './transfer/transfers.ts';
import { AGENT_VERSION } from './version.ts';

/** Timeout of a file call. A disk that has to spin up takes a third of it. */
const FILE_TIMEOUT_MS = 30_000;

export interface AppOptions {
  readonly log: Log;
  readonly transferTimings?: Partial<TransferTimings>;
  readonly connectionTimings?: Partial<ConnectionTimings>;
  readonly reconnectTimings?: Partial<ReconnectTimings>;
  /** Timeout of a file call in milliseconds. */
  readonly fileTimeoutMs?: number;
}

/** Assembles the agent; the only module that names all implementations. */
export class AgentApp {
  readonly #stop = new AbortController();
  readonly #link: ServerLink;
  readonly #transfers: Transfers;
  readonly #storage: StorageClient;
  readonly #hashers: Hashers;
  readonly #platform: Platform;
  readonly #allowList: AllowList;
  readonly #gate: FileGate;
  readonly #log: Log;
  readonly #maxFileSize: number | null;
  readonly #proxies: ProxyVariables;
  #running: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(config: AgentConfig, options: AppOptions) {
    const { log, fileTimeoutMs: timeoutMs = FILE_TIMEOUT_MS } = options;
    const now = () => performance.now();
    const random = Math.random;
    const platform = currentPlatform();
    const gate = new FileGate({ platform, log, poolThreads: config.poolThreads, timeoutMs });
    const ownFiles = new OwnFiles({ ...secretPaths(config), platform, gate });
    const allowList = new AllowList({
      ...{ directories: config.allow, files: config.files, hardLinks: config.allowHardLinks },
      ...{ platform, gate, ownFiles },
    });
    const open = { allowList, platform, gate };
    const serverIsLocal = isLoopbackHost(config.serverUrl.hostname);
    const storagePolicy = new StoragePolicy({ origins: config.storageOrigins, serverIsLocal });
    const storage = new StorageClient(storagePolicy, config.proxies);
    const buffers = new BufferPool(MAX_SLICES);
    const hashers = new Hashers({ buffers, log, timeoutMs });
    const startedAt = now();
    const { maxRate } = config;
    const rateLimit = maxRate === null ? null : new RateLimit(() => maxRate(new Date()), { now });
    const parallelism = new PartParallelism({ ceiling: config.parallelParts, now });
    const timings = { ...defaultTimings, ...options.transferTimings };

    const token = tokenSource(config.token, {
      clientId: config.clientId,
      wallSeconds: () => Date.now() / 1000,
    });
    const gatedToken = async (path: string): Promise<string> => {
      try {
        return await gate.run(path, token);
      } catch (error) {
        if (!(error instanceof FileCallTimeout)) throw error;
        throw new Error(`--token-file ${path} cannot be read: ${error.message}`, { cause: error });
      }
    };
    const given: TokenSource =
      config.token.kind === 'file' ? gatedToken.bind(null, config.token.path) : token;
    const { stateDirectory: directory } = config;
    const tokens = directory === null ? null : new RenewableToken({ given, directory, gate, log });
    const link: ServerLink = new ServerLink({
      clientId: config.clientId,
      serverUrl: config.serverUrl,
      token: async () => {
        const read = await (tokens === null ? given() : tokens.next());
        await ownFiles.record();
        return read;
      },
      tokenRefused: (refused) => tokens?.refused(refused) ?? false,
      proxy: proxyFor(config.serverUrl, config.proxies),
      clientCertificate:
        config.clientCertificate === null ? null : new ClientCertificateSource(config.clientCertificate, log),
      hello: () => hello(config, transfers, { keepsTokens: tokens?.canKeep ?? false }),
      onMessage: (message) => void router.route(message),
      onInvalidMessage: (subject, problem) => router.reject(subject, problem),
      connectionTimings: { ...defaultConnectionTimings, ...options.connectionTimings },
      reconnectTimings: { ...defaultReconnectTimings, ...options.reconnectTimings },
      now,
      random,
      log,
    });
    const transfers = new Transfers({
      maxActive: config.maxUploads,
      deps: {
        link,
        openFile: (path, options) => openFile(path, open, options),
        storage,
        rateLimit,
        hashers,
        buffers,
        parallelism,
        sendQueues: () => platform.sendQueues(),
        puts: new PutQueue(parallelism),
        responseTimeout: new ResponseTimeout({ firstMs: timings.responseMs, maxMs: timings.maxResponseMs }),
        timings,
        now,
        random,
        log,
        settings: config,
      },
    });
    const router = new MessageRouter({
      link,
      transfers,
      open,
      tokens:
        tokens === null
          ? null
          : {
              welcomed: () => tokens.welcomed(),
              store: async (renewed) => {
                await tokens.store(renewed);
                await ownFiles.record();
              },
            },
      health: () => ({
        agent_version: AGENT_VERSION,
        uptime_ms: Math.round(now() - startedAt),
        rss_bytes: process.memoryUsage.rss(),
        active_uploads: transfers.activeCount,
        max_uploads: config.maxUploads,
        allowed: allowList.describe(),
        max_rate_bytes_per_second: rateLimit?.bytesPerSecond ?? null,
        hanging_file_calls: gate.hangingCalls,
        hanging_mounts: gate.hangingMounts().slice(0, 100),
      }),
      log,
      signal: this.#stop.signal,
    });

    this.#log = log;
    this.#maxFileSize = config.maxFileSize;
    this.#proxies = config.proxies;
    this.#platform = platform;
    this.#allowList = allowList;
    this.#gate = gate;
    this.#storage = storage;
    this.#hashers = hashers;
    this.#link = link;
    this.#transfers = transfers;
  }

  /**
   * Logs what the agent is allowed to do, and starts connecting.
   *
   * @throws UsageError if this system cannot show where an opened file is.
   */
  async start(): Promise<void> {
    const problem = await this.#platform.startProblem();
    if (problem !== null) throw new UsageError(problem);
    for (const detail of await this.#allowList.problems()) {
      this.#log.warn({ detail }, 'problem with --allow or --file');
    }
    if (this.#maxFileSize === null) {
      this.#log.warn('no --max-file-size: the server may request allowed files of any size');
    }
    for (const variable of unreadableProxies(this.#proxies)) {
      this.#log.warn(
        { variable },
        'unused proxy variable ignored: its value is not the address of an HTTP proxy',
      );
    }
    this.#log.info({ version: AGENT_VERSION, allowed: this.#allowList.describe() }, 'agent started');
    this.#running = this.#link.run({ signal: this.#stop.signal });
  }

  get activeUploads(): number {
    return this.#transfers.activeCount;
  }

  /** Running file calls; the process cannot exit before they return. */
  get fileCalls(): number {
    return this.#gate.calls + this.#hashers.filesInThreads;
  }

  /** Aborts PUTs, closes files and closes the connection. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#transfers.close(), this.#running]);
    this.#storage.close();
    await this.#hashers.close();
  }
}

/** Paths of this agent's secrets, which `OwnFiles` protects from being read. */
function secretPaths({ token, stateDirectory, clientCertificate, credentialsDirectory }: AgentConfig) {
  return {
    files: [
      ...(token.kind === 'file' ? [token.path] : []),
      ...(clientCertificate === null ? [] : [clientCertificate.keyFile]),
    ],
    directories: [
      ...(token.kind === 'dev_file' ? [dirname(token.path)] : []),
      ...(stateDirectory === null ? [] : [stateDirectory]),
      ...(credentialsDirectory === null ? [] : [credentialsDirectory]),
    ],
  };
}

function hello(
  config: AgentConfig,
  transfers: Transfers,
  { keepsTokens }: { keepsTokens: boolean },
): AgentMessageInput {
  const host = hostIds();
  return {
    status: 'hello',
    agent_version: AGENT_VERSION,
    platform: { os: process.platform, arch: arch(), hostname: hostname().slice(0, 255) },
    ...(host !== undefined && { host }),
    capabilities: [
      ...commandNames,
      RESUME_CAPABILITY,
      EMPTY_OBJECT_CAPABILITY,
      UPLOAD_LIMITS_CAPABILITY,
      LIST_PAGES_CAPABILITY,
      ...(keepsTokens ? [TOKEN_RENEWAL_CAPABILITY] : []),
    ],
    limits: { max_uploads: config.maxUploads, parallel_parts: config.parallelParts },
    labels: { ...config.labels },
    default_file_path: config.files[0] ?? null,
    running: transfers.running(),
  };
}
