import type { Store } from '../../packages/server/src/domain/ports/store.ts';
import { Connection } from './connection.ts';
import { OperatorClient } from './operator-client.ts';
import type { S3Request } from './object-store/s3-requests.ts';
import { seededRandom } from '../harness/seeded-random.ts';
import { SimulatedAgent } from './agent/simulated-agent.ts';
import { SimulatedFile } from './agent/simulated-file.ts';
import { Puts } from './agent/simulated-put.ts';
import { S3State } from './object-store/s3-state.ts';
import { SimulatedS3 } from './object-store/simulated-s3.ts';
import { type HandleAgentMessage, SimulatedServer } from './server/simulated-server.ts';
import { SimulatedTime } from './simulated-time.ts';
import type { Coverage } from './coverage.ts';
import { TransitionFacts } from './transition-facts.ts';
import { ticks } from './ticks.ts';
import { InvariantChecker } from './invariant-checker.ts';

/** How long a request of a killed server may stay in flight. */
const LATE_MS = 60_000;
const SWEEP_INTERVAL_MS = 10_000;
/** Maximum number of sweeps, however much time passes at once. */
const MAX_SWEEPS = 6;

interface SimulationOptions {
  readonly seed: number;
  readonly store: Store;
  readonly handle: HandleAgentMessage;
  readonly coverage: Coverage;
}

/** A server with its store, two machines with two files each, the network between them, and time. */
export class Simulation implements AsyncDisposable {
  readonly time = new SimulatedTime();
  readonly checker: InvariantChecker;
  readonly coverage: Coverage;
  readonly store: Store;
  readonly random: () => number;
  readonly s3: SimulatedS3;
  readonly puts: Puts;
  readonly agents: readonly SimulatedAgent[];
  readonly operators: OperatorClient;
  connections: Connection[] = [];
  server: SimulatedServer | undefined;
  /** Requests of killed servers. */
  readonly lateRequests = new Map<S3Request, number>();
  readonly #handle: HandleAgentMessage;
  readonly #facts: TransitionFacts;

  constructor({ seed, store, handle, coverage }: SimulationOptions) {
    this.coverage = coverage;
    this.store = store;
    this.random = seededRandom(seed);
    this.#handle = handle;
    this.#facts = new TransitionFacts(coverage);
    const { time, random } = this;
    const state = new S3State();
    const checker = new InvariantChecker(state);
    this.checker = checker;
    this.s3 = new SimulatedS3(state, { clock: time.clock, coverage, checker, random });
    this.puts = new Puts(this.s3.urls, coverage, this.random);
    const startedAt = time.clock.now();
    // The agents' clocks are slow: they consider expired URLs valid.
    const now = () => (time.clock.now() - startedAt) * 0.8;
    const env = { now, coverage, checker, puts: this.puts };
    this.agents = ['client-1', 'client-2'].map(
      (clientId, index) =>
        new SimulatedAgent(
          {
            clientId,
            files: [new SimulatedFile('/data/a.bin', 8), new SimulatedFile('/data/b.bin', 17)],
            // One agent of an earlier release.
            canResume: index === 0,
          },
          env,
        ),
    );
    this.operators = new OperatorClient(this);
  }

  async startServer(): Promise<void> {
    const { store, s3, time, checker, random } = this;
    const server = new SimulatedServer({
      ...{ store, s3, time, checker, random, handle: this.#handle },
      observe: (change) => this.#facts.onTransition(change),
      onServerDeath: (dead, side) => this.#serverDied(dead, side),
    });
    this.server = server;
    await server.start();
    await this.idle();
  }

  connect(agent: SimulatedAgent): void {
    const { server, coverage, checker } = this;
    if (server === undefined || agent.socket !== undefined) return;
    const { clientId } = agent;
    const isNoticed = this.connections.every((other) => other.clientId !== clientId || !other.isOpenAtServer);
    if (!isNoticed) coverage.count('session replaced before its end was noticed');
    const connection = new Connection({ server, clientId, coverage, checker });
    this.connections.push(connection);
    agent.connect(connection);
  }

  /** Waits until the server is idle, except for calls to the store and timers. */
  async idle(): Promise<void> {
    do await ticks(2);
    while (this.server !== undefined && this.server.gate.inFlight > 0);
  }

  /** Lets time pass, with a sweep now and then. */
  async pass(ms: number): Promise<void> {
    const stride = Math.max(SWEEP_INTERVAL_MS, ms / MAX_SWEEPS);
    for (let left = ms; left > 0; left -= stride) {
      this.time.pass(Math.min(left, stride));
      for (const agent of this.agents) agent.timePassed();
      this.#forgetLateRequests();
      await this.idle();
      void this.server?.domain.sweeper.sweep();
      await this.idle();
    }
  }

  #forgetLateRequests(): void {
    for (const [request, since] of this.lateRequests) {
      if (this.time.clock.now() - since < LATE_MS) continue;
      this.lateRequests.delete(request);
      this.s3.requests.fail(request);
    }
  }

  #serverDied(server: SimulatedServer, side: 'before' | 'after' | undefined): void {
    if (this.server !== server) return;
    this.server = undefined;
    if (side !== undefined) this.coverage.count(`server killed ${side} a write`);
    const rows = [...this.checker.rows.values()];
    if (rows.some(({ status }) => status === 'completing'))
      this.coverage.count('server killed while completing');
    const isUnknown = rows.some(
      ({ objectToken, s3UploadId }) =>
        s3UploadId === null && [...this.s3.state.uploads.values()].some(({ token }) => token === objectToken),
    );
    if (isUnknown) this.coverage.count('server killed between Create and its row');
    for (const request of this.s3.requests.waiting) {
      if (!this.lateRequests.has(request)) this.lateRequests.set(request, this.time.clock.now());
    }
    for (const connection of this.connections) {
      connection.cut({ loseFrames: true });
      connection.isOpenAtServer = false;
    }
    this.operators.abandon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server?.gate.die();
    // The last write finishes before the store closes.
    await ticks(3);
    this.time[Symbol.dispose]();
    await this.store.close();
  }
}
