import { basename } from 'node:path';
import { DEV_FILE, type DevFile } from '@backhaul/protocol/dev-file';
import { signDevToken } from '../auth/sign-dev-token.ts';
import type { Config, DevConfig } from '../config/config-types.ts';
import { deepFreeze } from '../config/deep-freeze.ts';
import type { Clock } from '../domain/ports/clock.ts';
import type { Log } from '../domain/ports/log.ts';
import type { S3Settings } from '../s3/s3-settings.ts';
import { DevDirectory } from './dev-directory.ts';
import { removeDevFile, writeDevFile } from './dev-file.ts';
import { loadDevState, STATE_FILE } from './dev-state.ts';
import { startDevStore } from './dev-store.ts';
import type { EmbeddedObjectStore } from './embedded-object-store.ts';
import type { StoreCommand } from './object-store-child.ts';

interface DevModeOptions {
  readonly config: DevConfig;
  /** `.backhaul/` is created in it. */
  readonly cwd: string;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Aborts the start. */
  readonly signal: AbortSignal;
  /** A program to run instead of `backhaul-object-store`. */
  readonly storeCommand?: StoreCommand | undefined;
}

/** The environment of a server started without settings; closed after the server. */
export class DevMode {
  /** The configuration, completed with the missing secret, store and keys. */
  readonly config: Config;
  /** The embedded object store; undefined if another store is configured. */
  readonly store: EmbeddedObjectStore | undefined;
  readonly #jwtSecret: string;
  readonly #devFilePath: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #resources: AsyncDisposableStack;
  #devFile: DevFile | undefined;
  #closed: Promise<void> | undefined;

  constructor(deps: {
    config: Config;
    store: EmbeddedObjectStore | undefined;
    jwtSecret: string;
    devFilePath: string;
    clock: Pick<Clock, 'now'>;
    resources: AsyncDisposableStack;
  }) {
    this.config = deps.config;
    this.store = deps.store;
    this.#jwtSecret = deps.jwtSecret;
    this.#devFilePath = deps.devFilePath;
    this.#clock = deps.clock;
    this.#resources = deps.resources;
  }

  /**
   * Call once the server listens: writes the file from which the command line and agents of this directory read its
   * URL.
   *
   * @param serverUrl The URL for programs on this machine.
   */
  async writeDevFile(serverUrl: string): Promise<void> {
    this.#devFile = {
      server_url: serverUrl,
      operator_token: await signDevToken(this.#jwtSecret, this.#clock),
      jwt_secret: this.#jwtSecret,
      pid: process.pid,
    };
    await writeDevFile(this.#devFilePath, this.#devFile);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const devFile = this.#devFile;
    if (devFile !== undefined) await removeDevFile(this.#devFilePath, devFile);
    await this.#resources.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * @throws ConfigError if another server runs in this directory, or if its state is damaged.
 * @throws ObjectStoreFailed if the embedded object store does not start.
 */
export async function startDevMode({
  config,
  cwd,
  clock,
  log,
  signal,
  storeCommand,
}: DevModeOptions): Promise<DevMode> {
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await DevDirectory.open(cwd));
  const state = await loadDevState(directory.file(STATE_FILE));
  const jwtSecret = config.jwtSecret ?? state.jwt_secret;
  const { s3, store } =
    config.s3 === null
      ? await startDevStore({ config, directory, state, log, signal, storeCommand })
      : { s3: config.s3, store: undefined };
  resources.use(store);

  return new DevMode({
    config: completed(config, s3, jwtSecret),
    store,
    jwtSecret,
    devFilePath: directory.file(basename(DEV_FILE)),
    clock,
    resources: resources.move(),
  });
}

function completed(config: DevConfig, s3: S3Settings, jwtSecret: string): Config {
  const {
    setupBucket,
    host,
    port,
    tls,
    databasePath,
    maxFileSize,
    uploadLimits,
    retentionDays,
    auditRetentionDays,
    auditMaxRows,
    retentionTrustsClock,
    orphanAgeSeconds,
    limits,
    legacyReadScope,
    renewsTokens,
    proxies,
    trustedProxies,
    proxyWaitSeconds,
    logLevel,
    logFormat,
  } = config;
  return deepFreeze({
    kind: 'complete',
    ...{ setupBucket, host, port, tls, databasePath, maxFileSize, uploadLimits },
    ...{
      retentionDays,
      auditRetentionDays,
      auditMaxRows,
      retentionTrustsClock,
      orphanAgeSeconds,
      legacyReadScope,
      renewsTokens,
      limits,
      proxies,
      trustedProxies,
      proxyWaitSeconds,
      logLevel,
      logFormat,
    },
    s3,
    jwt: { kind: 'secret', secret: jwtSecret },
  });
}
