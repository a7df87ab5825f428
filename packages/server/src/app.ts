import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { DEFAULT_EXPIRES_IN_SECONDS, SUBPROTOCOL } from '@backhaul/protocol';
import type { Logger } from 'pino';
import { LegacyRead, SCOPES_SPLIT, legacyReadEnd } from './auth/legacy-read.ts';
import { PreviousSecret } from './auth/previous-secret.ts';
import { RecentTokens } from './auth/recent-tokens.ts';
import { renewedTokenSigner } from './auth/renewed-token.ts';
import { loadTokenKeys } from './auth/token-keys.ts';
import { TokenVerifier } from './auth/token-verifier.ts';
import { LocalBus } from './bus/local-bus.ts';
import type { Config } from './config.ts';
import { createDiagnosis } from './diagnosis.ts';
import { createDomain } from './domain/create-domain.ts';
import { BucketError } from './domain/ports/bucket.ts';
import { AGENT_DISCONNECTED } from './domain/agents/session.ts';
import { meteredBucket } from './domain/ports/bucket-wrappers.ts';
import { InflightResponses } from './http/inflight-responses.ts';
import { ClientAddresses } from './http/client-addresses.ts';
import { connectionLimits } from './http/connection-limits.ts';
import { HeldRequests } from './http/held-requests.ts';
import { createHttpServer } from './http/http-server.ts';
import { TlsReload } from './http/tls-certificates.ts';
import { UnauthenticatedConnections } from './http/unauthenticated-connections.ts';
import { Metrics } from './metrics.ts';
import { proxyFindings } from './proxy-findings.ts';
import { createReadiness } from './readiness.ts';
import { S3Bucket } from './s3/s3-bucket.ts';
import { openSqliteStore } from './store/open-sqlite-store.ts';
import { systemClock } from './system-clock.ts';
import { SERVER_VERSION } from './version.ts';
import { AgentGateway } from './websocket/agent-gateway.ts';

const HOUR_MS = 3_600_000;
const SWEEP_INTERVAL_MS = 10_000;
/** An unreachable object store does not delay the start longer than this. */
const BUCKET_REPORT_TIMEOUT_MS = 15_000;
const COMMAND_TIMEOUT_MS = 30_000;
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
 * Builds the server in order. The only function that names implementations.
 *
 * @throws StoreError, BucketError (`refused`: a setting must change), or the error of `listen`.
 */
export async function startApp(config: Config, log: Logger): Promise<App> {
  await using cleanup = new AsyncDisposableStack();
  const clock = systemClock;
  const metrics = new Metrics({ version: SERVER_VERSION });

  const isExisting = existsSync(config.databasePath);
  const store = await openSqliteStore(config.databasePath, {
    onFilesChange: (problem) => {
      if (problem === undefined) log.info({}, 'database files restored');
      else log.error({ problem }, 'database files changed; not ready');
    },
  });
  cleanup.defer(() => store.close());
  log.info(
    { database: config.databasePath, existing: isExisting },
    isExisting ? 'database opened' : 'new database created',
  );
  await store.closeSessionsOf(NODE_ID, { at: clock.now(), reason: AGENT_DISCONNECTED });

  const s3Bucket = new S3Bucket(config.s3, { clock });
  cleanup.defer(() => s3Bucket.close());
  const bucket = meteredBucket(s3Bucket, {
    clock,
    observe: (operation, outcome, seconds) => metrics.observeS3(operation, outcome, seconds),
  });
  const throughProxies = proxyFindings(config);
  for (const { name, level, detail } of throughProxies) {
    log[level === 'warning' ? 'warn' : 'info']({ check: name, detail }, 'proxy settings');
  }
  await reportBucket(s3Bucket, log);

  const bus = new LocalBus();
  const domain = createDomain({
    store,
    bucket,
    bus,
    clock,
    log,
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
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    observe: metrics.observeUpload,
    onSharedToken: () => metrics.tokenShared(),
    signToken:
      config.renewsTokens && config.jwt.kind === 'secret' ? renewedTokenSigner(config.jwt.secret) : null,
    onRenewal: (outcome) => metrics.tokenRenewal(outcome),
    unfinishedLimits: {
      perToken: config.limits.unfinishedPerToken,
      perClient: config.limits.unfinishedPerClient,
      onRefused: (limit) => metrics.requestRefused(limit),
    },
  });
  cleanup.defer(() => domain.stop());
  const keys = await loadTokenKeys(config.jwt, { proxies: config.proxies, log });
  const readiness = createReadiness({ store, bus, bucket, keySet: keys.keySet });
  const held = new HeldRequests(config.limits, (limit) => metrics.requestRefused(limit));
  const limits = connectionLimits(config.limits);
  log.info({ ...limits }, 'connection limits');
  const addresses = new ClientAddresses(config.trustedProxies);
  const connections = new UnauthenticatedConnections(
    limits,
    (reason) => metrics.connectionRefused(reason),
    (address) => addresses.isProxy(address),
  );
  const { retention } = domain;
  const { sessions, renewal } = domain.transfers;
  const tokenOf = renewal.nextToken.bind(renewal);
  metrics.watch({ store, sessions, tokenOf, connections, held, retention, readiness });

  const verifier = new TokenVerifier(keys, clock, config.tokenRules);
  const isSet = keys.previous !== undefined;
  const previousSecret = new PreviousSecret({ sessions, log, isSet, tokenOf });
  const operators = new RecentTokens(async (token) => {
    const claims = await verifier.verify('operator', token);
    if (claims.isOfPreviousSecret) previousSecret.usedByOperator(claims.sub);
    return claims;
  }, clock);
  const splitAt = await store.firstTime(SCOPES_SPLIT, clock.now());
  const legacyRead = new LegacyRead({
    until: config.legacyReadScope ? legacyReadEnd(splitAt) : null,
    clock,
    log,
  });
  const shutdown = new AbortController();
  const http = await createHttpServer({
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
        tokenFindings: () => [
          ...legacyRead.findings(),
          ...previousSecret.findings(),
          ...domain.transfers.sharedTokens.findings(),
          ...(keys.keySet?.findings() ?? []),
        ],
        proxyFindings: throughProxies,
        clock,
        shutdown: shutdown.signal,
      }),
      metrics: () => metrics.render(),
      shutdown: shutdown.signal,
    },
  });
  const inflight = new InflightResponses(http.server);
  const gateway = new AgentGateway({
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
    onRefused: (reason) => metrics.agentRefused(reason),
  });
  gateway.attach(http.server);
  cleanup.defer(async () => {
    shutdown.abort();
    // Upgraded sockets count as connections of the HTTP server, so both must close together.
    await Promise.all([http.close(), inflight.finish(), gateway.close()]);
  });

  await http.listen({ host: config.host, port: config.port });
  let tlsReload: TlsReload | undefined;
  if (config.tls !== null && http.server instanceof TlsServer) {
    tlsReload = cleanup.use(new TlsReload({ server: http.server, files: config.tls, log }));
  }
  const url = addressOf(http.server.address(), config.tls === null ? 'http' : 'https');
  log.info({ url, version: SERVER_VERSION, subprotocol: SUBPROTOCOL }, 'listening');

  const report = setInterval(() => previousSecret.report(), HOUR_MS);
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
