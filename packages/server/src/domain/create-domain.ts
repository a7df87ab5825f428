import { setTimeout as delay } from 'node:timers/promises';
import { ClientService } from './agents/client-service.ts';
import { CommandRunner } from './agents/command-runner.ts';
import type { TransferContext } from './agents/handlers/context.ts';
import { SessionRegistry } from './agents/session.ts';
import { SharedTokens } from './agents/shared-tokens.ts';
import { type RenewalOutcome, type SignToken, TokenRenewal } from './agents/token-renewal.ts';
import { ClockWatch } from './clock-watch.ts';
import { stoppableBucket } from './ports/bucket-wrappers.ts';
import type { Bucket } from './ports/bucket.ts';
import type { Bus } from './ports/bus.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Store } from './ports/store.ts';
import { RefusedRequests } from './refused-requests.ts';
import { AuditRetention, type AuditRetentionSettings, Retention } from './retention.ts';
import type { UploadSettings } from './upload-settings.ts';
import { BucketProbe, StorePatience } from './uploads/bucket-outage.ts';
import { Completion } from './uploads/complete.ts';
import { Dispatcher } from './uploads/dispatch.ts';
import { UploadEnding } from './uploads/end.ts';
import { Expiry } from './uploads/expire.ts';
import { UploadLedger, type UploadObserver } from './uploads/ledger.ts';
import { LiveProgress } from './uploads/live-progress.ts';
import { AttemptRecovery } from './uploads/requeue.ts';
import { UploadService } from './uploads/service.ts';
import { Sweeper } from './uploads/sweep.ts';
import { type UnfinishedLimits, UnfinishedQuota } from './uploads/unfinished-quota.ts';
import { ObjectVerifier } from './uploads/verify.ts';

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
  const { onSharedToken = () => {}, onRenewal = () => {}, signToken = null } = deps;
  const { sleep = realSleep, random = Math.random, pollMs = 2000, unfinishedLimits = unlimited } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  const bucket = stoppableBucket(deps.bucket, signal);
  const sessions = new SessionRegistry();
  const base = { store, bus, bucket, clock, log, settings, sessions, signal, random };

  const sharedTokens = new SharedTokens({ ...base, count: onSharedToken });
  const renewal = new TokenRenewal({ ...base, sign: signToken, observe: onRenewal });
  const commands = new CommandRunner(sessions);
  const progress = new LiveProgress();

  const ledger = new UploadLedger({ ...base, observe: deps.observe });
  const patience = new StorePatience(bucket, clock);
  const ending = new UploadEnding({ ...base, ledger, onEnded: (clientId) => dispatcher.schedule(clientId) });
  const recovery = new AttemptRecovery({
    ...base,
    ledger,
    ending,
    onQueued: (clientId, notBefore) => {
      // In any case the client has a free slot for another upload.
      dispatcher.schedule(clientId);
      if (notBefore !== null) dispatcher.scheduleAt(clientId, notBefore);
    },
  });
  const probe = new BucketProbe(bucket, clock);
  const dispatcher: Dispatcher = new Dispatcher({
    ...base,
    ...{ ledger, probe, recovery, patience, sharedTokens },
  });
  const clockWatch = new ClockWatch({ ...base, maxGraceMs: settings.lifetimeMs });
  const completion = new Completion({
    ...base,
    ...{ ledger, ending, recovery, patience, clockWatch },
    sleep,
  });
  const expiry = new Expiry({ ...base, ledger, ending, clockWatch });
  const quota = new UnfinishedQuota({ ...base, limits: unfinishedLimits });

  const refusals = new RefusedRequests(base);
  const retention = new Retention({
    ...base,
    retentionMs: deps.retentionMs,
    audit: new AuditRetention({ ...base, settings: deps.auditRetention }),
    trustClock: deps.retentionTrustsClock ?? false,
  });
  const sweeper = new Sweeper({
    ...base,
    ...{ dispatcher, completion, ending, expiry, clockWatch, retention, renewal, refusals, orphanAgeMs },
  });

  // Not stoppable: a running operator request may still get its response.
  const forOperators = { ...base, bucket: deps.bucket };
  return {
    transfers: {
      ...base,
      ...{ sharedTokens, renewal, ledger, dispatcher, ending, recovery, completion, commands, progress },
    },
    uploads: new UploadService({
      ...forOperators,
      ...{ ledger, ending, completion, dispatcher, expiry, quota, pollMs },
    }),
    verifier: new ObjectVerifier({ ...forOperators, ledger }),
    clients: new ClientService({ ...base, sharedTokens }),
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
  await delay(ms, undefined, { signal });
}
