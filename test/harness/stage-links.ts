import { S3FaultProxy } from '../faults/injection/s3/s3-fault-proxy.ts';
import type { StoreBehaviour, StoreDouble } from '../faults/injection/stores/store-behaviour.ts';
import { TcpFaultProxy } from '../faults/injection/tcp/tcp-fault-proxy.ts';
import type { S3Target } from './object-store.ts';

/** Proxies between the programs of a stage; none by default. */
export interface StageLinkOptions {
  /** Puts an {@link S3FaultProxy} between all programs and the store. */
  readonly faults?: boolean;
  /** How the store differs from S3 for all programs; implies {@link faults}. */
  readonly store?: StoreDouble;
  /** Puts a {@link TcpFaultProxy} between agents and server. */
  readonly networkFaults?: boolean;
  /** Puts a {@link TcpFaultProxy} between agents or operators and the store; the server bypasses it. */
  readonly storeNetworkFaults?: boolean;
  /** Puts a {@link TcpFaultProxy} between the server and the store; all other programs bypass it. */
  readonly serverStoreNetworkFaults?: boolean;
}

export interface StageLinks extends AsyncDisposable {
  readonly faults: S3FaultProxy | undefined;
  readonly behaviour: StoreBehaviour | undefined;
  readonly storeNetwork: TcpFaultProxy | undefined;
  readonly serverStoreNetwork: TcpFaultProxy | undefined;
  /** Settings that route the server and, by its URLs, the agents through the proxies. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Starts the proxies in front of the store. */
export async function startStageLinks(store: S3Target, options: StageLinkOptions): Promise<StageLinks> {
  await using stack = new AsyncDisposableStack();
  const behaviour = options.store?.(store);
  const faults =
    options.faults === true || behaviour !== undefined
      ? stack.use(await S3FaultProxy.start({ target: store.endpoint, behaviour }))
      : undefined;
  const endpoint = faults?.endpoint ?? store.endpoint;
  const line = async (wanted = false): Promise<TcpFaultProxy | undefined> =>
    wanted ? stack.use(await TcpFaultProxy.start({ target: endpoint })) : undefined;
  const storeNetwork = await line(options.storeNetworkFaults);
  const serverStoreNetwork = await line(options.serverStoreNetworkFaults);
  const started = stack.move();
  return {
    faults,
    behaviour,
    storeNetwork,
    serverStoreNetwork,
    environment: {
      S3_ENDPOINT: serverStoreNetwork?.endpoint ?? endpoint,
      ...((storeNetwork ?? serverStoreNetwork) && {
        S3_PUBLIC_ENDPOINT: storeNetwork?.endpoint ?? endpoint,
      }),
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
