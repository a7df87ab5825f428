import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Hello, UploadStatus } from '@backhaul/protocol';
import { completed } from '../../../packages/server/src/domain/agents/handlers/endings.ts';
import { prepared } from '../../../packages/server/src/domain/agents/handlers/prepared.ts';
import { type Domain, createDomain } from '../../../packages/server/src/domain/create-domain.ts';
import type { Store } from '../../../packages/server/src/domain/ports/store.ts';
import { endSession } from '../../../packages/server/src/domain/agents/handlers/hello.ts';
import type { RenewalOutcome, SignToken } from '../../../packages/server/src/domain/agents/token-renewal.ts';
import type { SessionToken } from '../../../packages/server/src/domain/agents/session.ts';
import type { TransferContext } from '../../../packages/server/src/domain/agents/handlers/context.ts';
import type { UploadSettings } from '../../../packages/server/src/domain/upload-settings.ts';
import type { Upload } from '../../../packages/server/src/domain/uploads/upload.ts';
import type { UnfinishedLimits } from '../../../packages/server/src/domain/uploads/unfinished-quota.ts';
import type { UploadObserver } from '../../../packages/server/src/domain/uploads/ledger.ts';
import { type FakeAgent, completedMessage, preparedMessage, sayHello } from '../../doubles/fake-agent.ts';
import { FakeBucket } from '../../doubles/fake-bucket.ts';
import { FakeBus } from '../../doubles/fake-bus.ts';
import { FakeClock } from '../../doubles/fake-clock.ts';
import { FakeLog } from '../../doubles/fake-log.ts';

const HOUR_MS = 3_600_000;
/** How long a test waits for an expected event. */
const DEADLINE_MS = 5000;
export const RETENTION_MS = 30 * 24 * HOUR_MS;

export interface FixtureOptions {
  readonly settings?: Partial<UploadSettings>;
  readonly unfinishedLimits?: UnfinishedLimits;
  readonly pollMs?: number;
  readonly orphanAgeMs?: number;
  readonly retentionTrustsClock?: boolean;
  readonly signToken?: SignToken;
  /** Default: a new one. */
  readonly clock?: FakeClock;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Default: the middle. */
  readonly random?: () => number;
}

/** The whole domain on a store chosen by the test, with time, bucket and agents under the test's control. */
export class DomainFixture implements AsyncDisposable {
  readonly clock: FakeClock;
  readonly bucket: FakeBucket;
  readonly bus = new FakeBus();
  readonly log = new FakeLog();
  readonly renewals: RenewalOutcome[] = [];
  readonly changes: Parameters<UploadObserver>[0][] = [];
  readonly store: Store;
  readonly domain: Domain;

  constructor(store: Store, options: FixtureOptions = {}) {
    this.store = store;
    this.clock = options.clock ?? new FakeClock();
    this.bucket = new FakeBucket(this.clock);
    this.domain = createDomain({
      store,
      bucket: this.bucket,
      bus: this.bus,
      clock: this.clock,
      log: this.log,
      settings: {
        bucketName: this.bucket.name,
        keyPrefix: 'uploads',
        maxFileSize: null,
        limits: {},
        lifetimeMs: 24 * HOUR_MS,
        prepareTimeoutMs: 600_000,
        maxBackoffMs: 30_000,
        ...options.settings,
      },
      retentionMs: RETENTION_MS,
      auditRetention: { retentionMs: RETENTION_MS, maxRows: 0 },
      retentionTrustsClock: options.retentionTrustsClock ?? false,
      orphanAgeMs: options.orphanAgeMs ?? HOUR_MS,
      observe: (change) => this.changes.push(change),
      signToken: options.signToken ?? null,
      onRenewal: (outcome) => this.renewals.push(outcome),
      ...(options.unfinishedLimits === undefined ? {} : { unfinishedLimits: options.unfinishedLimits }),
      sleep: options.sleep ?? this.clock.sleep,
      random: options.random ?? (() => 0.5),
      // Practically infinite: what ends must come from a hint.
      pollMs: options.pollMs ?? 2 ** 30,
    });
  }

  get context(): TransferContext {
    return this.domain.transfers;
  }

  async connect(
    clientId = 'client-1',
    options: Partial<Hello> & { maxUploads?: number; token?: SessionToken } = {},
  ): Promise<FakeAgent> {
    const { connection, session } = await sayHello(this.context, clientId, options);
    assert.ok(session !== undefined, 'the session was replaced during hello');
    return { connection, session };
  }

  /** Creates a new upload with each call. */
  trigger(filePath = '/data/report.bin', clientId = 'client-1'): Promise<Upload> {
    return this.domain.uploads.trigger({ clientId, filePath, requestedBy: 'operator-1', force: true });
  }

  async upload(uploadId: string): Promise<Upload> {
    const upload = await this.store.getUpload(uploadId);
    assert.ok(upload !== undefined, `no upload ${uploadId}`);
    return upload;
  }

  /** Waits until the upload has this status. */
  async reaches(uploadId: string, status: UploadStatus): Promise<Upload> {
    await this.until(async () => (await this.upload(uploadId)).status === status, `status ${status}`);
    return this.upload(uploadId);
  }

  /** Polls, for a few seconds at most. */
  async until(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    while (!(await check())) {
      assert.ok(performance.now() < deadline, `waited in vain for ${what}`);
      await nextTurn();
    }
  }

  /** Lets all scheduled work finish. */
  async idle(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  }

  /** Runs one round of the sweeper, including its calls to the object store. */
  async sweep(): Promise<void> {
    await this.domain.sweeper.sweep();
    await this.domain.sweeper.idle();
  }

  /** An upload whose agent was asked to prepare it. */
  async preparing(hello: Partial<Hello> = {}): Promise<{ agent: FakeAgent; upload: Upload }> {
    const agent = await this.connect('client-1', hello);
    const { uploadId } = await this.trigger();
    return { agent, upload: await this.reaches(uploadId, 'preparing') };
  }

  /** An upload whose multipart upload exists and whose parts are all signed for; the store has those in `sent`. */
  async uploading(
    options: { sent?: readonly number[]; host?: Hello['host'] } = {},
  ): Promise<{ agent: FakeAgent; upload: Upload }> {
    const { host } = options;
    const { agent, upload } = await this.preparing(host === undefined ? {} : { host });
    await prepared(this.context, agent.session, preparedMessage(upload));
    const uploading = await this.reaches(upload.uploadId, 'uploading');
    for (const partNumber of options.sent ?? [1, 2, 3]) this.bucket.put(uploading.s3UploadId, partNumber);
    return { agent, upload: uploading };
  }

  /** An interrupted upload waiting in the queue, its agent disconnected; the store has the parts in `sent`. */
  async interrupted(options: { sent?: readonly number[]; host?: Hello['host'] } = {}): Promise<Upload> {
    const { agent, upload } = await this.uploading(options);
    await endSession(this.context, agent.session);
    const { recovery } = this.context;
    const queued = await recovery.interrupt(await this.upload(upload.uploadId), {
      reason: 'The agent was restarted.',
    });
    assert.ok(queued !== undefined);
    return queued;
  }

  /** All parts are sent, and the completion has started. */
  async completing(): Promise<{ agent: FakeAgent; upload: Upload }> {
    const { agent, upload } = await this.uploading();
    await completed(this.context, agent.session, completedMessage(upload));
    return { agent, upload };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.domain.stop();
    await this.idle();
    await this.store.close();
  }
}
