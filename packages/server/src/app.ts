import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { DEFAULT_EXPIRES_IN_SECONDS, type Readiness, SUBPROTOCOL } from '@backhaul/protocol';
import type { Logger } from 'pino';
import { LegacyRead, SCOPES_SPLIT, legacyReadEnd } from './auth/legacy-read.ts';
import { PreviousSecret, type TokenOf } from './auth/previous-secret.ts';
import { RecentTokens } from './auth/recent-tokens.ts';
import { renewedTokenSigner } from './auth/token-signing.ts';
import { loadTokenKeys, type TokenKeys } from './auth/token-keys.ts';
import { TokenVerifier } from './auth/token-verifier.ts';
import { LocalBus } from './bus/local-bus.ts';
import type { Config } from './config/config.ts';
import { createDiagnosis, proxyFindings } from './operations/diagnosis.ts';
import { createDomain, type DomainDeps } from './domain/create-domain.ts';
import { BucketError } from './domain/ports/bucket.ts';
import { AGENT_DISCONNECTED } from './domain/agents/session.ts';
import { meteredBucket } from './domain/ports/bucket-wrappers.ts';
import { ClientAddresses } from './http/client-addresses.ts';
import { connectionLimits, UnauthenticatedConnections } from './http/connection-limits.ts';
import { HeldRequests } from './http/held-requests.ts';
import { createHttpServer, type HttpServer } from './http/http-server.ts';
import { TlsReload } from './http/tls-certificates.ts';
import { Metrics } from './operations/metrics.ts';
import { createReadiness } from './operations/readiness.ts';
import { S3Bucket } from './s3/s3-bucket.ts';
import { openSqliteStore } from './store/open-sqlite-store.ts';
import { systemClock } from './system-clock.ts';
import { SERVER_VERSION } from './version.ts';
import { AgentGateway } from './websocket/agent-gateway.ts';

const HOUR_MS = 3_600_000;
const SWEEP_INTERVAL_MS = 10_000;
/** An unreachable object store does not delay the start longer than this. */
const BUCKET_REPORT_TIMEOUT_MS = 15_000;
/** The single node of this database. With several nodes each needs an id of its own. */
const NODE_ID = 'single';

/** A running server. */
export interface App extends AsyncDisposable {
  /** The URL it listens on, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Reloads what can change while the server runs: TLS certificates (otherwise noticed within seconds). */
  reload(): void;
  /** Stops accepting work, lets responses in progress finish, and closes everything in reverse order. Idempotent. */
  close(): Promise<void>;
}

/**
 * Builds the server in order. Only this file names implementations.
 *
 * @throws StoreError, BucketError (`refused`: a setting must change), or the error of `listen`.
 */
export async function startApp(config: Config, log: Logger): Promise<App> {
  await using cleanup = new AsyncDisposableStack();
  const core = await startCore(config, log, cleanup);
  const { domain, metrics, store, bus } = core;
  const keys = await loadTokenKeys(config.jwt, { proxies: config.proxies, log });
  const readiness = createReadiness({ store, bus, bucket: core.bucket, keySet: keys.keySet });
  const peers = limitPeers(core);
  const { sessions, renewal } = domain.transfers;
  const tokenOf = renewal.nextToken.bind(renewal);
  metrics.watch({ store, sessions, tokenOf, readiness, retention: domain.retention, ...peers });
  const tokens = await createTokenChecks(core, keys, tokenOf);

  const shutdown = new AbortController();
  const http = await createHttp(core, { peers, tokens, readiness, shutdown: shutdown.signal });
  const gateway = createGateway(core, peers, tokens);
  const { server } = http.app;
  gateway.attach(server);
  cleanup.defer(async () => {
    shutdown.abort();
    // Upgraded sockets count as connections of the HTTP server, so both must close together.
    await Promise.all([http.close(), gateway.close()]);
  });

  await http.app.listen({ host: config.host, port: config.port });
  let tlsReload: TlsReload | undefined;
  if (config.tls !== null && server instanceof TlsServer) {
    tlsReload = cleanup.use(new TlsReload({ server, files: config.tls, log }));
  }
  const url = addressOf(server.address(), config.tls === null ? 'http' : 'https');
  log.info({ url, version: SERVER_VERSION, subprotocol: SUBPROTOCOL }, 'listening');

  const report = setInterval(() => tokens.previousSecret.report(), HOUR_MS);
  const sweep = setInterval(() => void domain.sweeper.sweep(), SWEEP_INTERVAL_MS);
  cleanup.defer(async () => {
    clearInterval(sweep);
    clearInterval(report);
    // Must run before the connections close: a message waiting for an unresponsive store would delay them.
    await domain.stop();
  });
  void domain.sweeper.sweep();

  const owned = cleanup.move();
  const close = once(() => owned.disposeAsync());
  return { url, reload: () => tlsReload?.reload(), close, [Symbol.asyncDispose]: close };
}

type Core = Awaited<ReturnType<typeof startCore>>;

/** Everything that works without a network listener: database, bucket and domain. */
async function startCore(config: Config, log: Logger, cleanup: AsyncDisposableStack) {
  const clock = systemClock;
  const metrics = new Metrics();
  const store = await openStore(config.databasePath, log);
  cleanup.defer(() => store.close());
  await store.closeSessionsOf(NODE_ID, { at: clock.now(), reason: AGENT_DISCONNECTED });

  const s3Bucket = new S3Bucket(config.s3, { clock });
  cleanup.defer(() => s3Bucket.close());
  const bucket = meteredBucket(s3Bucket, { clock, observe: metrics.observeS3 });
  const throughProxies = proxyFindings(config);
  for (const { name, level, detail } of throughProxies) {
    log[level === 'warning' ? 'warn' : 'info']({ check: name, detail }, 'proxy settings');
  }
  await reportBucket(s3Bucket, log);

  const bus = new LocalBus();
  const domain = createDomain({ store, bucket, bus, clock, log, ...domainSettings(config, metrics) });
  cleanup.defer(() => domain.stop());
  return { config, log, clock, metrics, store, s3Bucket, bucket, throughProxies, bus, domain };
}

async function openStore(path: string, log: Logger) {
  const isExisting = existsSync(path);
  const store = await openSqliteStore(path, {
    onFilesChange: (problem) => {
      if (problem === undefined) log.info({}, 'database files restored');
      else log.error({ problem }, 'database files changed; not ready');
    },
  });
  log.info({ database: path, existing: isExisting }, isExisting ? 'database opened' : 'new database created');
  return store;
}

function domainSettings(config: Config, metrics: Metrics) {
  return {
    settings: {
      bucketName: config.s3.bucket,
      keyPrefix: config.s3.keyPrefix,
      maxFileSize: config.maxFileSize,
      limits: config.uploadLimits,
      lifetimeMs: DEFAULT_EXPIRES_IN_SECONDS * 1000,
      prepareTimeoutMs: 10 * 60_000,
      maxBackoffMs: 30_000,
    },
    retentionMs: config.retentionDays * 24 * HOUR_MS,
    auditRetention: {
      retentionMs: config.auditRetentionDays * 24 * HOUR_MS,
      maxRows: config.auditMaxRows,
    },
    retentionTrustsClock: config.retentionTrustsClock,
    orphanAgeMs: config.orphanAgeSeconds * 1000,
    observe: metrics.observeUpload,
    onSharedToken: metrics.tokenShared,
    signToken:
      config.renewsTokens && config.jwt.kind === 'secret' ? renewedTokenSigner(config.jwt.secret) : null,
    onRenewal: metrics.tokenRenewal,
    unfinishedLimits: {
      perToken: config.limits.unfinishedPerToken,
      perClient: config.limits.unfinishedPerClient,
      onRefused: metrics.requestRefused,
    },
  } satisfies Partial<DomainDeps>;
}

type Peers = ReturnType<typeof limitPeers>;

/** Limits for connections and long-running requests. */
function limitPeers({ config, metrics, log }: Core) {
  const held = new HeldRequests(config.limits, metrics.requestRefused);
  const limits = connectionLimits(config.limits);
  log.info({ ...limits }, 'connection limits');
  const addresses = new ClientAddresses(config.trustedProxies);
  const connections = new UnauthenticatedConnections(limits, metrics.connectionRefused, (address) =>
    addresses.isProxy(address),
  );
  return { held, addresses, connections };
}

type TokenChecks = Awaited<ReturnType<typeof createTokenChecks>>;

/** Verification of tokens, and what the server notices about the tokens in use. */
async function createTokenChecks(
  { config, log, clock, store, domain }: Core,
  keys: TokenKeys,
  tokenOf: TokenOf,
) {
  const verifier = new TokenVerifier(keys, clock, config.tokenRules);
  const { sessions, sharedTokens } = domain.transfers;
  const previousSecret = new PreviousSecret({ sessions, log, isSet: keys.previous !== undefined, tokenOf });
  const operators = new RecentTokens(async (token) => {
    const claims = await verifier.verify('operator', token);
    if (claims.isOfPreviousSecret) previousSecret.usedByOperator(claims.sub);
    return claims;
  }, clock);
  const splitAt = await store.firstTime(SCOPES_SPLIT, clock.now());
  const until = config.legacyReadScope ? legacyReadEnd(splitAt) : null;
  const legacyRead = new LegacyRead({ until, clock, log });
  const findings = () => [
    ...legacyRead.findings(),
    ...previousSecret.findings(),
    ...sharedTokens.findings(),
    ...(keys.keySet?.findings() ?? []),
  ];
  return { verifier, operators, legacyRead, previousSecret, findings };
}

function createHttp(
  { config, log, clock, metrics, store, s3Bucket, throughProxies, bus, domain }: Core,
  {
    peers: { held, addresses, connections },
    tokens: { operators, legacyRead, findings: tokenFindings },
    readiness,
    shutdown,
  }: { peers: Peers; tokens: TokenChecks; readiness: () => Promise<Readiness>; shutdown: AbortSignal },
): Promise<HttpServer> {
  return createHttpServer({
    logger: log,
    tls: config.tls,
    verifyOperator: (token) => operators.verify(token),
    connections,
    legacyRead,
    services: {
      uploads: domain.uploads,
      verifier: domain.verifier,
      clients: domain.clients,
      commands: domain.transfers.commands,
      refusals: domain.refusals,
      store,
      bus,
      progress: domain.transfers.progress,
      held,
      addresses,
      proxyWaitSeconds: config.proxyWaitSeconds,
      readiness,
      diagnosis: createDiagnosis({
        bucket: s3Bucket,
        store,
        tokenFindings,
        proxyFindings: throughProxies,
        clock,
        shutdown,
      }),
      metrics: () => metrics.render(),
      shutdown,
    },
  });
}

function createGateway(
  { config, log, metrics, domain }: Core,
  { addresses, connections }: Peers,
  { verifier }: TokenChecks,
): AgentGateway {
  return new AgentGateway({
    context: domain.transfers,
    verifyAgent: (token) => verifier.verify('agent', token),
    mustNotBeBlocked: (clientId) => domain.clients.mustNotBeBlocked(clientId),
    connections,
    log,
    nodeId: NODE_ID,
    serverVersion: SERVER_VERSION,
    clientCertificate: config.tls?.clientCaFile == null ? null : config.tls.clientMatch,
    addresses,
    frameLimits: config.limits.agentFrames,
    observeFrames: metrics.observeFrames,
    onRefused: metrics.agentRefused,
  });
}

/**
 * Logs what the bucket is and supports. An unreachable store does not stop the start: the server runs, reports not
 * ready, and retries.
 */
async function reportBucket(bucket: S3Bucket, log: Logger): Promise<void> {
  const signal = AbortSignal.timeout(BUCKET_REPORT_TIMEOUT_MS);
  try {
    for (const { name, level, detail, fix } of await bucket.diagnose({ signal })) {
      const isProblem = level === 'warning' || level === 'error';
      log[isProblem ? 'warn' : 'info']({ check: name, detail, fix }, 'bucket checked');
    }
  } catch (error) {
    const isUnavailable = signal.aborted || (error instanceof BucketError && error.kind === 'unavailable');
    if (!isUnavailable) throw error;
    log.warn({ err: error }, 'object store unreachable; running but not ready');
  }
}

function addressOf(address: AddressInfo | string | null, scheme: string): string {
  if (address === null || typeof address === 'string') return String(address);
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${scheme}://${host}:${address.port}`;
}

function once<Result>(task: () => Promise<Result>): () => Promise<Result> {
  let result: Promise<Result> | undefined;
  return () => (result ??= task());
}
