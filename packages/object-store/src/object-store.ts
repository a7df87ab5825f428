import { createHash } from 'node:crypto';
import { StreamAccessLog, type AccessLog } from './access-log.ts';
import { RequestServer, type RequestServerSettings } from './http/request-server.ts';
import type { Operation } from './operations/operation.ts';
import { OPERATIONS, type OperationName } from './operations.ts';
import { StaleUploadSweeper } from './storage/stale-uploads.ts';
import { Storage } from './storage/storage.ts';

export interface ObjectStoreOptions {
  /** 0 uses a free port. */
  readonly port: number;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly dataDir: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Default: us-east-1. */
  readonly region?: string;
  /** Created if they do not exist. */
  readonly buckets?: readonly string[];
  /** A file to append JSON lines to, or `-` for standard output. */
  readonly accessLog?: string;
  /** Age at which open multipart uploads are aborted. Default: 168 (a week). */
  readonly sweepAfterHours?: number;
  /** Maximum time without data within a body, in ms. Default: 60,000. */
  readonly stallTimeoutMs?: number;
  /** How long `close()` waits for running requests, in ms. Default: 10,000. */
  readonly closeTimeoutMs?: number;
  /** Replaces the operations of the store, for example to inject faults. */
  readonly operations?: Readonly<Record<OperationName, Operation>>;
  /** Called with internal errors, such as those of the disk. Default: write to standard error. */
  readonly onFault?: (error: unknown) => void;
  readonly nowMs?: () => number;
}

/** A running store. */
export interface ObjectStore extends AsyncDisposable {
  /** `http://host:port` */
  readonly url: string;
  readonly port: number;
  /** Stops accepting requests, waits for running ones, and releases the data directory. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens the data directory and listens.
 * @throws DataDirectoryInUse, ForeignDataDirectory, or the system's error if the directory or the port is unavailable
 */
export async function startObjectStore(options: ObjectStoreOptions): Promise<ObjectStore> {
  await using opened = new AsyncDisposableStack();
  const nowMs = options.nowMs ?? Date.now;
  const storage = opened.use(await Storage.open(options.dataDir, { nowMs }));
  for (const name of options.buckets ?? []) {
    if (!storage.hasBucket(name)) await storage.createBucket(name);
  }
  const accessLog =
    options.accessLog === undefined ? undefined : opened.use(await StreamAccessLog.open(options.accessLog));
  opened.use(new StaleUploadSweeper(storage, (options.sweepAfterHours ?? 168) * 3_600_000));
  const requests = opened.use(new RequestServer(requestSettings(options, { storage, accessLog, nowMs })));
  const { port } = await requests.listen(options.port, options.host ?? '127.0.0.1');
  const resources = opened.move();
  const host = options.host ?? '127.0.0.1';
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= resources.disposeAsync());
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function requestSettings(
  options: ObjectStoreOptions,
  deps: {
    readonly storage: Storage;
    readonly accessLog: AccessLog | undefined;
    readonly nowMs: () => number;
  },
): RequestServerSettings {
  const { accessKey, secretKey, region = 'us-east-1' } = options;
  return {
    credentials: { accessKey, secretKey, region },
    operations: options.operations ?? OPERATIONS,
    context: {
      storage: deps.storage,
      region,
      ownerId: createHash('sha256').update(accessKey).digest('hex'),
    },
    accessLog: deps.accessLog,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    closeTimeoutMs: options.closeTimeoutMs ?? 10_000,
    onFault: options.onFault ?? ((error) => console.error(error)),
    nowMs: deps.nowMs,
  };
}
