import { fileURLToPath } from 'node:url';
import type { DevFile } from '@backhaul/protocol/dev-file';
import { signDevToken } from '../auth/token-signing.ts';
import type { Config, DevConfig } from '../config/config.ts';
import { deepFreeze } from '../config/load-config.ts';
import type { Clock } from '../domain/ports/clock.ts';
import type { Log } from '../domain/ports/log.ts';
import type { S3Settings } from '../s3/s3-settings.ts';
import { DevDirectory, type DevState } from './dev-directory.ts';
import { EmbeddedObjectStore } from './embedded-object-store.ts';
import type { StoreCommand } from './object-store-child.ts';

/** The only bucket of the embedded object store. */
const DEV_BUCKET = 'backhaul-dev';

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
export class DevMode implements AsyncDisposable {
  /** The configuration, completed with the missing secret, store and keys. */
  readonly config: Config;
  /** The embedded object store; undefined if another store is configured. */
  readonly store: EmbeddedObjectStore | undefined;
  readonly #deps: DevModeDeps;
  #devFile: DevFile | undefined;
  #closed: Promise<void> | undefined;

  constructor(deps: DevModeDeps) {
    this.config = deps.config;
    this.store = deps.store;
    this.#deps = deps;
  }

  /**
   * Call once the server listens: writes the file from which the command line and agents of this directory read its
   * URL.
   *
   * @param serverUrl The URL for programs on this machine.
   */
  async writeDevFile(serverUrl: string): Promise<void> {
    const { jwtSecret, clock, directory } = this.#deps;
    this.#devFile = {
      server_url: serverUrl,
      operator_token: await signDevToken(jwtSecret, clock),
      jwt_secret: jwtSecret,
      pid: process.pid,
    };
    await directory.writeDevFile(this.#devFile);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { directory, resources } = this.#deps;
    if (this.#devFile !== undefined) await directory.removeDevFile(this.#devFile);
    await resources.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

interface DevModeDeps {
  readonly config: Config;
  readonly store: EmbeddedObjectStore | undefined;
  readonly jwtSecret: string;
  readonly directory: DevDirectory;
  readonly clock: Pick<Clock, 'now'>;
  /** The store and the directory's lock. */
  readonly resources: AsyncDisposableStack;
}

/**
 * @throws ConfigError if another server runs in this directory, or if its state is damaged.
 * @throws ObjectStoreFailed if the embedded object store does not start.
 */
export async function startDevMode(options: DevModeOptions): Promise<DevMode> {
  const { config, cwd, clock } = options;
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await DevDirectory.open(cwd));
  const state = await directory.loadState();
  const jwtSecret = config.jwtSecret ?? state.jwt_secret;
  const { s3, store } =
    config.s3 === null
      ? await startDevStore(options, { directory, state })
      : { s3: config.s3, store: undefined };
  resources.use(store);
  return new DevMode({
    config: completed(config, s3, jwtSecret),
    store,
    jwtSecret,
    directory,
    clock,
    resources: resources.move(),
  });
}

function completed(config: DevConfig, s3: S3Settings, jwtSecret: string): Config {
  const {
    ignoredHost: _host,
    s3Preferences: _preferences,
    jwtSecret: _secret,
    childEnvironment: _environment,
    ...common
  } = config;
  return deepFreeze({ ...common, kind: 'complete', s3, jwt: { kind: 'secret', secret: jwtSecret } });
}

/** Starts the embedded object store, on its previous port if possible, and returns its settings. */
async function startDevStore(
  { config, log, signal, storeCommand }: DevModeOptions,
  { directory, state }: { directory: DevDirectory; state: DevState },
): Promise<{ store: EmbeddedObjectStore; s3: S3Settings }> {
  const keys = { accessKey: state.store_access_key, secretKey: state.store_secret_key };
  const store = await EmbeddedObjectStore.start(
    {
      command: storeCommand ?? ownCommand(),
      dataDir: directory.file('objects'),
      accessLog: directory.file('store-access.log'),
      bucket: DEV_BUCKET,
      ...keys,
      environment: config.childEnvironment,
      log,
    },
    { preferredPort: state.store_port, signal },
  );
  try {
    await directory.saveState({ ...state, store_port: store.port });
  } catch (error) {
    await store.close();
    throw error;
  }
  const { sse } = config.s3Preferences;
  const s3 = {
    ...config.s3Preferences,
    // The store does not encrypt and reports that; unless encryption is required, a warning would be noise.
    sse: sse.required ? sse : { wanted: null, required: false },
    endpoint: store.url,
    // The region that backhaul-object-store expects in signatures.
    region: 'us-east-1',
    bucket: DEV_BUCKET,
    accessKeyId: keys.accessKey,
    secretAccessKey: keys.secretKey,
  };
  return { store, s3 };
}

function ownCommand(): StoreCommand {
  return [process.execPath, fileURLToPath(import.meta.resolve('backhaul-object-store/bin'))];
}
