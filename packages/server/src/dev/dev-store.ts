import { fileURLToPath } from 'node:url';
import type { DevConfig } from '../config/config-types.ts';
import type { Log } from '../domain/ports/log.ts';
import type { S3Settings } from '../s3/s3-settings.ts';
import type { DevDirectory } from './dev-directory.ts';
import { type DevState, saveDevState, STATE_FILE } from './dev-state.ts';
import { EmbeddedObjectStore } from './embedded-object-store.ts';
import type { StoreCommand } from './object-store-child.ts';

/** The only bucket of the embedded object store. */
const DEV_BUCKET = 'backhaul-dev';

interface DevStoreOptions {
  readonly config: DevConfig;
  readonly directory: DevDirectory;
  readonly state: DevState;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly storeCommand: StoreCommand | undefined;
}

/** Starts the embedded object store, on its previous port if possible, and returns its settings. */
export async function startDevStore({
  config,
  directory,
  state,
  log,
  signal,
  storeCommand,
}: DevStoreOptions): Promise<{ store: EmbeddedObjectStore; s3: S3Settings }> {
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
    await saveDevState(directory.file(STATE_FILE), { ...state, store_port: store.port });
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
