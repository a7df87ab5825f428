import { dirname } from 'node:path';
import { proxyFor, unreadableProxies } from '@backhaul/program';
import { type HealthReport, isLoopbackHost } from '@backhaul/protocol';
import type { AgentConfig } from './config.ts';
import { defaultReconnectTimings, type ReconnectTimings } from './connection/connection-end.ts';
import { hello } from './connection/hello.ts';
import { type ConnectionTimings, defaultConnectionTimings } from './connection/server-connection.ts';
import { ServerLink } from './connection/server-link.ts';
import { ClientCertificateSource } from './credentials/client-certificate.ts';
import { RenewableToken } from './credentials/renewable-token.ts';
import { type TokenSource, tokenSource } from './credentials/token-source.ts';
import { FileCallTimeout } from './file/file-error.ts';
import { FileGate } from './file/file-gate.ts';
import { Hashers } from './file/hashers.ts';
import { openFile } from './file/open-file.ts';
import { BufferPool, MAX_SLICES } from './file/slices.ts';
import { UsageError } from './flags.ts';
import type { Log } from './log.ts';
import { MessageRouter } from './message-handlers.ts';
import { currentPlatform } from './platform/current-platform.ts';
import { AllowList } from './policy/allow-list.ts';
import { OwnFiles } from './policy/own-files.ts';
import { StoragePolicy } from './policy/storage-policy.ts';
import { PartParallelism } from './transfer/part-parallelism.ts';
import { PutQueue } from './transfer/put-queue.ts';
import { ResponseTimeout } from './transfer/put-timeouts.ts';
import { RateLimit } from './transfer/rate-limit.ts';
import { StorageClient } from './transfer/storage-client.ts';
import { defaultTimings, type TransferTimings } from './transfer/transfer-deps.ts';
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

/** Runs the agent from `start` to `close`. */
export class AgentApp {
  readonly #config: AgentConfig;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #agent: ReturnType<typeof assemble>;
  #running: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(config: AgentConfig, options: AppOptions) {
    this.#config = config;
    this.#log = options.log;
    this.#agent = assemble(config, options, this.#stop.signal);
  }

  /**
   * Logs what the agent is allowed to do, and starts connecting.
   *
   * @throws UsageError if this system cannot show where an opened file is.
   */
  async start(): Promise<void> {
    const problem = await this.#agent.platform.startProblem();
    if (problem !== null) throw new UsageError(problem);
    for (const detail of await this.#agent.allowList.problems()) {
      this.#log.warn({ detail }, 'problem with --allow or --file');
    }
    if (this.#config.maxFileSize === null) {
      this.#log.warn('no --max-file-size: the server may request allowed files of any size');
    }
    for (const variable of unreadableProxies(this.#config.proxies)) {
      this.#log.warn(
        { variable },
        'unused proxy variable ignored: its value is not the address of an HTTP proxy',
      );
    }
    this.#log.info({ version: AGENT_VERSION, allowed: this.#agent.allowList.describe() }, 'agent started');
    this.#running = this.#agent.link.run({ signal: this.#stop.signal });
  }

  get activeUploads(): number {
    return this.#agent.transfers.activeCount;
  }

  /** Running file calls; the process cannot exit before they return. */
  get fileCalls(): number {
    return this.#agent.gate.calls + this.#agent.hashers.filesInThreads;
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
    await Promise.all([this.#agent.transfers.close(), this.#running]);
    this.#agent.storage.close();
    await this.#agent.hashers.close();
  }
}

/** The only place that names all implementations. @param signal Aborted when the agent stops. */
function assemble(config: AgentConfig, options: AppOptions, signal: AbortSignal) {
  const { log, fileTimeoutMs: timeoutMs = FILE_TIMEOUT_MS } = options;
  const now = () => performance.now();
  const random = Math.random;
  const startedAt = now();
  const { maxRate } = config;
  const timings = { ...defaultTimings, ...options.transferTimings };
  const { platform, gate, ownFiles, allowList } = fileAccess(config, { log, timeoutMs });
  const open = { allowList, platform, gate };
  const storagePolicy = new StoragePolicy({
    origins: config.storageOrigins,
    serverIsLocal: isLoopbackHost(config.serverUrl.hostname),
  });
  const storage = new StorageClient(storagePolicy, config.proxies);
  const buffers = new BufferPool(MAX_SLICES);
  const hashers = new Hashers({ buffers, log, timeoutMs });
  const rateLimit = maxRate === null ? null : new RateLimit(() => maxRate(new Date()), { now });
  const parallelism = new PartParallelism({ ceiling: config.parallelParts, now });
  const tokens = connectionTokens(config, { gate, ownFiles, log });

  const link: ServerLink = new ServerLink({
    clientId: config.clientId,
    serverUrl: config.serverUrl,
    token: tokens.next,
    tokenRefused: tokens.refused,
    proxy: proxyFor(config.serverUrl, config.proxies),
    clientCertificate:
      config.clientCertificate === null ? null : new ClientCertificateSource(config.clientCertificate, log),
    hello: () => hello(config, { running: transfers.running(), keepsTokens: tokens.canKeep() }),
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
  const health = (): HealthReport => ({
    agent_version: AGENT_VERSION,
    uptime_ms: Math.round(now() - startedAt),
    rss_bytes: process.memoryUsage.rss(),
    active_uploads: transfers.activeCount,
    max_uploads: config.maxUploads,
    allowed: allowList.describe(),
    max_rate_bytes_per_second: rateLimit?.bytesPerSecond ?? null,
    hanging_file_calls: gate.hangingCalls,
    hanging_mounts: gate.hangingMounts().slice(0, 100),
  });
  const router = new MessageRouter({ link, transfers, open, tokens: tokens.renewal, health, log, signal });
  return { platform, allowList, gate, storage, hashers, link, transfers };
}

/** What decides which files may be read, and makes all calls about them. */
function fileAccess(config: AgentConfig, { log, timeoutMs }: { log: Log; timeoutMs: number }) {
  const platform = currentPlatform();
  const gate = new FileGate({ platform, log, poolThreads: config.poolThreads, timeoutMs });
  const ownFiles = new OwnFiles({ ...secretPaths(config), platform, gate });
  const allowList = new AllowList({
    directories: config.allow,
    files: config.files,
    hardLinks: config.allowHardLinks,
    platform,
    gate,
    ownFiles,
  });
  return { platform, gate, ownFiles, allowList };
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

/** The token of each connection, and its renewal if there is a state directory. Each file with a token is protected. */
function connectionTokens(
  config: AgentConfig,
  { gate, ownFiles, log }: { gate: FileGate; ownFiles: OwnFiles; log: Log },
) {
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
  const given: TokenSource = config.token.kind === 'file' ? gatedToken.bind(null, config.token.path) : token;
  const { stateDirectory: directory } = config;
  const renewable = directory === null ? null : new RenewableToken({ given, directory, gate, log });
  const next = async (): Promise<string> => {
    const read = await (renewable === null ? given() : renewable.next());
    await ownFiles.record();
    return read;
  };
  const store = async (renewed: string): Promise<void> => {
    await renewable?.store(renewed);
    await ownFiles.record();
  };
  return {
    next,
    refused: (refused: string) => renewable?.refused(refused) ?? false,
    canKeep: () => renewable?.canKeep ?? false,
    renewal: renewable === null ? null : { welcomed: () => renewable.welcomed(), store },
  };
}
