import type { AgentMessage } from '@backhaul/protocol';
import { type Domain, createDomain } from '../../../packages/server/src/domain/create-domain.ts';
import type { Store } from '../../../packages/server/src/domain/ports/store.ts';
import { FakeBus } from '../../doubles/fake-bus.ts';
import { FakeLog } from '../../doubles/fake-log.ts';
import type { AgentSession } from '../../../packages/server/src/domain/agents/session.ts';
import { AGENT_DISCONNECTED } from '../../../packages/server/src/domain/agents/session.ts';
import type { TransferContext } from '../../../packages/server/src/domain/agents/handlers/context.ts';
import type { UploadObserver } from '../../../packages/server/src/domain/uploads/ledger.ts';
import { CrashGate } from './crash-gate.ts';
import { gatedBucket } from './gated-bucket.ts';
import { gatedStore } from './gated-store.ts';
import type { SimulatedS3 } from '../object-store/simulated-s3.ts';
import type { SimulatedTime } from '../simulated-time.ts';
import type { InvariantChecker } from '../invariant-checker.ts';

export const HOUR_MS = 3_600_000;
const LIFETIME_MS = 24 * HOUR_MS;
export const RETENTION_MS = 30 * LIFETIME_MS;
const PREPARE_TIMEOUT_MS = 600_000;
const NODE_ID = 'node-1';

/** How the server's WebSocket adapter passes messages to the domain, which does not know the adapter. */
export type HandleAgentMessage = (
  context: TransferContext,
  session: AgentSession,
  message: TransferMessage,
) => Promise<void> | void;

type TransferMessage = Exclude<AgentMessage, { status: 'hello' }>;

export interface ServerEnv {
  readonly store: Store;
  readonly s3: SimulatedS3;
  readonly time: SimulatedTime;
  readonly checker: InvariantChecker;
  readonly random: () => number;
  readonly handle: HandleAgentMessage;
  readonly observe: UploadObserver;
  readonly onServerDeath: (server: SimulatedServer, side: 'before' | 'after' | undefined) => void;
}

/** One server process with its whole domain, on a store that outlives it. */
export class SimulatedServer {
  readonly nodeId = NODE_ID;
  readonly gate: CrashGate;
  readonly domain: Domain;
  readonly log = new FakeLog();
  readonly #handle: HandleAgentMessage;
  readonly #store: Store;
  readonly #time: SimulatedTime;

  constructor({ store, s3, time, checker, random, handle, ...env }: ServerEnv) {
    this.#handle = handle;
    this.#time = time;
    this.gate = new CrashGate({
      // Mostly zero, occasionally long enough for many other events to happen meanwhile.
      delay: () => Math.floor(random() ** 6 * 16),
      onDeath: (side) => env.onServerDeath(this, side),
    });
    this.#store = gatedStore(store, this.gate, checker);
    const bus = new FakeBus();
    bus.subscribe((hint) => checker.onHint(hint));
    this.domain = createDomain({
      store: this.#store,
      bucket: gatedBucket(s3, this.gate, checker),
      bus,
      clock: time.clock,
      log: this.log,
      settings: {
        bucketName: s3.name,
        keyPrefix: 'uploads',
        maxFileSize: null,
        limits: {},
        lifetimeMs: LIFETIME_MS,
        prepareTimeoutMs: PREPARE_TIMEOUT_MS,
        maxBackoffMs: 30_000,
      },
      retentionMs: RETENTION_MS,
      auditRetention: { retentionMs: RETENTION_MS, maxRows: 0 },
      orphanAgeMs: HOUR_MS,
      observe: env.observe,
      sleep: time.sleep,
      pollMs: PREPARE_TIMEOUT_MS,
      random,
    });
  }

  /** As `app.ts` does before it listens. */
  async start(): Promise<void> {
    await this.#store.closeSessionsOf(NODE_ID, { at: this.#time.clock.now(), reason: AGENT_DISCONNECTED });
    void this.domain.sweeper.sweep();
  }

  async handle(session: AgentSession, message: TransferMessage): Promise<void> {
    await this.#handle(this.domain.transfers, session, message);
  }
}
