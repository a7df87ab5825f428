import { setTimeout as sleep } from 'node:timers/promises';
import { ClientService } from './clients/client-service.ts';
import { CommandRunner } from './commands/command-runner.ts';
import type { Bucket } from './ports/bucket.ts';
import type { Bus } from './ports/bus.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Store } from './ports/store.ts';
import { SessionRegistry } from './sessions/session-registry.ts';
import type { TransferContext } from './transfer-context.ts';
import type { UploadSettings } from './upload-settings.ts';
import { AttemptRecovery } from './uploads/attempt-recovery.ts';
import { BucketProbe } from './uploads/bucket-probe.ts';
import { Completion } from './uploads/completion.ts';
import { Dispatcher } from './uploads/dispatcher.ts';
import { ObjectVerifier } from './uploads/object-verifier.ts';
import { Expiry } from './uploads/expiry.ts';
import { abortOrphans } from './uploads/orphan-sweep.ts';
import { PullIntake } from './uploads/pull-intake.ts';
import { StoppableBucket } from './uploads/stoppable-bucket.ts';
import { Sweeper } from './uploads/sweeper.ts';
import { UploadEnding } from './uploads/upload-ending.ts';
import { UploadLedger, type UploadObserver } from './uploads/upload-ledger.ts';
import { UploadService } from './uploads/upload-service.ts';

export interface DomainParts {
  readonly store: Store;
  readonly bucket: Bucket;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: UploadSettings;
  readonly retentionMs: number;
  /** Age at which a multipart upload that no row refers to is aborted; also how often they are looked for. */
  readonly orphanAgeMs: number;
  readonly commandTimeoutMs: number;
  readonly observe: UploadObserver;
  /** Rejects when the signal aborts. By default real time passes. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** How often a wait for an upload's end looks for itself, in case hints get lost. */
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
  readonly sweeper: Sweeper;
  /**
   * Cuts short every call to the object store, and resolves when nothing runs in the background any more. Agents'
   * messages can still be handled; what they leave undone is taken up by the next start. Idempotent.
   */
  stop(): Promise<void>;
}

/** Wires the domain's parts to each other. Which store, bus and bucket they work with, the caller knows. */
export function createDomain(parts: DomainParts): Domain {
  const { store, bus, clock, log, settings, orphanAgeMs } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const random = parts.random ?? Math.random;
  const bucket = new StoppableBucket(parts.bucket, signal);
  const sessions = new SessionRegistry();
  const ledger = new UploadLedger({ store, bus, clock, observe: parts.observe });
  const probe = new BucketProbe(bucket, clock);
  const onEnded = (clientId: string): void => dispatcher.kick(clientId);
  const ending = new UploadEnding({ ledger, bucket, sessions, log, onEnded });
  const recovery = new AttemptRecovery({
    ledger,
    ending,
    clock,
    log,
    random,
    onQueued: (clientId, notBefore) => {
      // In any case: a place has become free for another of its uploads.
      dispatcher.kick(clientId);
      if (notBefore !== null) dispatcher.kickAt(clientId, notBefore);
    },
  });
  const dispatcher: Dispatcher = new Dispatcher({
    store,
    ledger,
    bucket,
    probe,
    recovery,
    sessions,
    settings,
    clock,
    log,
    signal,
  });
  const { maxBackoffMs } = settings;
  const completion = new Completion({
    store,
    ledger,
    bucket,
    ending,
    recovery,
    clock,
    log,
    maxBackoffMs,
    sleep: parts.sleep ?? realSleep,
    random,
  });
  const expiry = new Expiry({ store, ending, sessions, clock, log, signal });
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
    retentionMs: parts.retentionMs,
    orphanAgeMs,
    abortOrphans: () =>
      abortOrphans({ store, bucket, clock, log, keyPrefix: settings.keyPrefix, orphanAgeMs }),
  });
  const intake = new PullIntake({ store, bus, clock, sessions, dispatcher, expiry, settings });
  const commands = new CommandRunner(sessions, { timeoutMs: parts.commandTimeoutMs });
  return {
    transfers: {
      store,
      bucket,
      clock,
      log,
      settings,
      sessions,
      ledger,
      dispatcher,
      ending,
      recovery,
      completion,
      commands,
    },
    uploads: new UploadService({
      store,
      // Not stoppable: a request of an operator that is under way may still be answered.
      bucket: parts.bucket,
      bus,
      clock,
      ledger,
      ending,
      dispatcher,
      expiry,
      intake,
      settings,
      pollMs: parts.pollMs ?? 2000,
    }),
    // Not stoppable either.
    verifier: new ObjectVerifier({ store, ledger, bucket: parts.bucket, clock }),
    clients: new ClientService({ store, sessions, clock }),
    sweeper,
    stop: async () => {
      stopping.abort();
      await Promise.all([completion.close(), sweeper.idle(), expiry.idle()]);
      await ending.idle();
    },
  };
}

async function realSleep(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}
