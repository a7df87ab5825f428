import https from 'node:https';
import { arch, hostname } from 'node:os';
import { type AgentMessageInput, commandNames, RESUME_CAPABILITY } from '@backhaul/protocol';
import type { AgentConfig } from './config.ts';
import { Connection } from './connection/connection.ts';
import { defaultReconnectTimings, type ReconnectTimings } from './connection/session-end.ts';
import { defaultSessionTimings, type SessionTimings } from './connection/session.ts';
import { tokenSource } from './credentials/token-source.ts';
import { BufferPool, MAX_SLICES } from './file/buffer-pool.ts';
import { openFile } from './file/open-file.ts';
import { Hashers } from './hashing/hashers.ts';
import type { Log } from './log.ts';
import { Dispatcher } from './messages/dispatch.ts';
import { currentPlatform } from './platform/current-platform.ts';
import { isLoopbackHost } from './policy/addresses.ts';
import { AllowList } from './policy/allow-list.ts';
import { StoragePolicy } from './policy/storage-policy.ts';
import { Semaphore } from './semaphore.ts';
import { AnswerPatience } from './transfer/answer-patience.ts';
import { RateLimit } from './transfer/rate-limit.ts';
import { StorageClient } from './transfer/storage-client.ts';
import { defaultTimings, type TransferTimings } from './transfer/timings.ts';
import { Transfers } from './transfer/transfers.ts';
import { AGENT_VERSION } from './version.ts';

export interface AppOptions {
  readonly log: Log;
  readonly transferTimings?: Partial<TransferTimings>;
  readonly sessionTimings?: Partial<SessionTimings>;
  readonly reconnectTimings?: Partial<ReconnectTimings>;
}

/** The agent put together: the only place that knows all of its parts. */
export class AgentApp {
  readonly #stop = new AbortController();
  readonly #connection: Connection;
  readonly #transfers: Transfers;
  readonly #storage: StorageClient;
  readonly #hashers: Hashers;
  readonly #allowList: AllowList;
  readonly #log: Log;
  #running: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  constructor(config: AgentConfig, options: AppOptions) {
    const { log } = options;
    const now = () => performance.now();
    const random = Math.random;
    const platform = currentPlatform();
    const allowList = new AllowList({ directories: config.allow, file: config.file, platform });
    const open = { allowList, platform };
    const serverIsLocal = isLoopbackHost(config.serverUrl.hostname);
    const storagePolicy = new StoragePolicy({ origins: config.storageOrigins, serverIsLocal });
    const storage = new StorageClient(storagePolicy, config.proxy);
    const buffers = new BufferPool(MAX_SLICES);
    const hashers = new Hashers({ buffers, log });
    const startedAt = now();
    const timings = { ...defaultTimings, ...options.transferTimings };

    const connection: Connection = new Connection({
      clientId: config.clientId,
      serverUrl: config.serverUrl,
      token: tokenSource(config.token, { clientId: config.clientId, wallSeconds: () => Date.now() / 1000 }),
      agent: proxyAgent(config, serverIsLocal),
      hello: () => hello(config, transfers),
      receive: (message) => void dispatcher.dispatch(message),
      sessionTimings: { ...defaultSessionTimings, ...options.sessionTimings },
      reconnectTimings: { ...defaultReconnectTimings, ...options.reconnectTimings },
      now,
      random,
      log,
    });
    const transfers = new Transfers({
      maxActive: config.maxUploads,
      tools: {
        link: connection,
        openFile: (path, version) => openFile(path, open, version),
        storage,
        rateLimit: config.maxRate === null ? null : new RateLimit(config.maxRate, now),
        hashers,
        buffers,
        puts: new Semaphore(config.parallelParts),
        patience: new AnswerPatience({ firstMs: timings.answerMs, maxMs: timings.maxAnswerMs }),
        timings,
        now,
        random,
        log,
        settings: config,
      },
    });
    const dispatcher = new Dispatcher({
      link: connection,
      transfers,
      open,
      health: () => ({
        agent_version: AGENT_VERSION,
        uptime_ms: Math.round(now() - startedAt),
        rss_bytes: process.memoryUsage.rss(),
        active_uploads: transfers.activeCount,
        max_uploads: config.maxUploads,
        allowed: allowList.describe(),
        max_rate_bytes_per_second: config.maxRate,
      }),
      log,
      signal: this.#stop.signal,
    });

    this.#log = log;
    this.#allowList = allowList;
    this.#storage = storage;
    this.#hashers = hashers;
    this.#connection = connection;
    this.#transfers = transfers;
  }

  /** Tells the owner what the agent may do, and starts connecting. */
  async start(): Promise<void> {
    for (const finding of await this.#allowList.findings()) this.#log.warn(finding);
    this.#log.info({ version: AGENT_VERSION, allowed: this.#allowList.describe() }, 'agent started');
    this.#running = this.#connection.run({ signal: this.#stop.signal });
  }

  get activeUploads(): number {
    return this.#transfers.activeCount;
  }

  /** Aborts PUTs, closes files, says goodbye to the server. Idempotent. */
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

function proxyAgent({ proxy, serverUrl }: AgentConfig, serverIsLocal: boolean): https.Agent | null {
  if (proxy === null || serverIsLocal || serverUrl.protocol !== 'wss:') return null;
  return new https.Agent({ proxyEnv: { ...proxy } });
}

function hello(config: AgentConfig, transfers: Transfers): AgentMessageInput {
  return {
    status: 'hello',
    agent_version: AGENT_VERSION,
    platform: { os: process.platform, arch: arch(), hostname: hostname().slice(0, 255) },
    capabilities: [...commandNames, RESUME_CAPABILITY],
    limits: { max_uploads: config.maxUploads, parallel_parts: config.parallelParts },
    labels: { ...config.labels },
    default_file_path: config.file,
    running: transfers.running(),
  };
}
