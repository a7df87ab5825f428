import { setTimeout as sleep } from 'node:timers/promises';
import { AuditRetention, type AuditRetentionSettings } from './audit/audit-retention.ts';
import { RefusedRequests } from './audit/refused-requests.ts';
import { ClientService } from './clients/client-service.ts';
import { CommandRunner } from './commands/command-runner.ts';
import type { Bucket } from './ports/bucket.ts';
import { stoppableBucket } from './ports/bucket-wrappers.ts';
import type { Bus } from './ports/bus.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Store } from './ports/store.ts';
import { SessionRegistry } from './sessions/session-registry.ts';
import { SharedTokens } from './sessions/shared-tokens.ts';
import { type RenewalOutcome, type SignToken, TokenRenewal } from './sessions/token-renewal.ts';
import type { TransferContext } from './transfer-context.ts';
import type { UploadSettings } from './upload-settings.ts';
import { AttemptRecovery } from './uploads/attempt-recovery.ts';
import { ClockWatch } from './uploads/clock-watch.ts';
import { BucketProbe } from './uploads/bucket-probe.ts';
import { Completion } from './uploads/completion.ts';
import { Dispatcher } from './uploads/dispatcher.ts';
import { LiveProgress } from './uploads/live-progress.ts';
import { ObjectVerifier } from './uploads/object-verifier.ts';
import { Expiry } from './uploads/expiry.ts';
import { abortOrphans } from './uploads/orphan-sweep.ts';
import { UploadIntake } from './uploads/upload-intake.ts';
import { Retention } from './uploads/retention.ts';
import { StorePatience } from './uploads/store-patience.ts';
import { Sweeper } from './uploads/sweeper.ts';
import { type UnfinishedLimits, UnfinishedQuota } from './uploads/unfinished-quota.ts';
import { UploadEnding } from './uploads/upload-ending.ts';
import { UploadLedger, type UploadObserver } from './uploads/upload-ledger.ts';
import { UploadService } from './uploads/upload-service.ts';

export interface DomainDeps {
  readonly store: Store;
  readonly bucket: Bucket;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: UploadSettings;
  readonly retentionMs: number;
  readonly auditRetention: AuditRetentionSettings;
  /** Whether retention always trusts the clock. Default: no. */
  readonly retentionTrustsClock?: boolean;
  /** Age at which a multipart upload without a row is aborted; also the interval of the search for them. */
  readonly orphanAgeMs: number;
  readonly commandTimeoutMs: number;
  readonly observe: UploadObserver;
  /** Called when two machines are found to alternate with one token. Default: none. */
  readonly onSharedToken?: () => void;
  /** Default: agents' tokens are not renewed. */
  readonly signToken?: SignToken | null;
  readonly onRenewal?: (outcome: RenewalOutcome) => void;
  /** Default: none. */
  readonly unfinishedLimits?: UnfinishedLimits;
  /** Rejects when the signal aborts. Default: real time. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Polling interval of a wait for an upload's end, in case hints get lost. */
  readonly pollMs?: number;
  /** In [0, 1); for jitter. */
  readonly random?: () => number;
}

export interface Domain {
  /** For the WebSocket adapter. */
  readonly transfers: TransferContext;
  /** For the HTTP adapter. */
  readonly uploads: UploadService;
  readonly verifier: ObjectVerifier;
  readonly clients: ClientService;
  readonly refusals: RefusedRequests;
  readonly sweeper: Sweeper;
  readonly retention: Retention;
  /**
   * Aborts every call to the object store, and resolves when nothing runs in the background any more. Agents'
   * messages can still be handled; unfinished work continues at the next start. Idempotent.
   */
  stop(): Promise<void>;
}

const unlimited: UnfinishedLimits = { perToken: 0, perClient: 0, onRefused: () => {} };

/** Wires up the domain; the caller chooses the implementations of store, bus and bucket. */
export function createDomain(deps: DomainDeps): Domain {
  const { store, bus, clock, log, settings, orphanAgeMs } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  const random = deps.random ?? Math.random;
  const bucket = stoppableBucket(deps.bucket, signal);
  const sessions = new SessionRegistry();
  const sharedTokens = new SharedTokens({ clock, log, count: deps.onSharedToken ?? (() => {}) });
  const renewal = new TokenRenewal({
    ...{ store, sessions, clock, log, signal },
    sign: deps.signToken ?? null,
    observe: deps.onRenewal ?? (() => {}),
  });
  const ledger = new UploadLedger({ store, bus, clock, observe: deps.observe });
  const probe = new BucketProbe(bucket, clock);
  const patience = new StorePatience(bucket, clock);
  const onEnded = (clientId: string): void => dispatcher.schedule(clientId);
  const ending = new UploadEnding({ ledger, bucket, sessions, log, onEnded });
  const recovery = new AttemptRecovery({
    ledger,
    ending,
    clock,
    log,
    random,
    onQueued: (clientId, notBefore) => {
      // In any case the client has a free slot for another upload.
      dispatcher.schedule(clientId);
      if (notBefore !== null) dispatcher.scheduleAt(clientId, notBefore);
    },
  });
  const dispatcher: Dispatcher = new Dispatcher({
    store,
    ledger,
    bucket,
    probe,
    recovery,
    patience,
    sessions,
    sharedTokens,
    settings,
    clock,
    log,
    signal,
  });
  const { maxBackoffMs } = settings;
  const clockWatch = new ClockWatch({ store, clock, log, maxGraceMs: settings.lifetimeMs });
  const completion = new Completion({
    store,
    ledger,
    bucket,
    ending,
    recovery,
    patience,
    clock,
    clockWatch,
    log,
    maxBackoffMs,
    sleep: deps.sleep ?? realSleep,
    random,
  });
  const retention = new Retention({
    store,
    clock,
    log,
    retentionMs: deps.retentionMs,
    audit: new AuditRetention({ store, log, settings: deps.auditRetention }),
    trustClock: deps.retentionTrustsClock ?? false,
  });
  const refusals = new RefusedRequests({ store, clock, log });
  const expiry = new Expiry({ store, ending, sessions, clock, clockWatch, log, signal });
  const sweeper = new Sweeper({
    store,
    clock,
    log,
    settings,
    sessions,
    dispatcher,
    completion,
    ending,
    expiry,
    clockWatch,
    retention,
    renewal,
    refusals,
    orphanAgeMs,
    abortOrphans: () =>
      abortOrphans({ store, bucket, clock, log, keyPrefix: settings.keyPrefix, orphanAgeMs }),
  });
  const quota = new UnfinishedQuota({ store, clock, limits: deps.unfinishedLimits ?? unlimited });
  const intake = new UploadIntake({ store, bus, clock, sessions, dispatcher, expiry, quota, settings });
  const progress = new LiveProgress();
  const commands = new CommandRunner(sessions, { timeoutMs: deps.commandTimeoutMs });
  return {
    transfers: {
      store,
      bucket,
      clock,
      log,
      settings,
      sessions,
      sharedTokens,
      renewal,
      ledger,
      dispatcher,
      ending,
      recovery,
      completion,
      commands,
      progress,
    },
    uploads: new UploadService({
      store,
      // Not stoppable: a running operator request may still get its response.
      bucket: deps.bucket,
      bus,
      clock,
      ledger,
      ending,
      completion,
      dispatcher,
      expiry,
      intake,
      quota,
      settings,
      pollMs: deps.pollMs ?? 2000,
    }),
    // Not stoppable either.
    verifier: new ObjectVerifier({ store, ledger, bucket: deps.bucket, clock }),
    clients: new ClientService({ store, sessions, sharedTokens, clock }),
    refusals,
    sweeper,
    retention,
    stop: async () => {
      stopping.abort();
      await Promise.all([completion.close(), sweeper.idle(), expiry.idle()]);
      await ending.idle();
      await refusals.flush();
    },
  };
}

async function realSleep(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}
