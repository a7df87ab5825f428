import type { Store } from '../ports/store.ts';
import { Connection } from './connection.ts';
import { OperatorDesk } from './operator-desk.ts';
import type { S3Request } from './object-store/s3-requests.ts';
import { seededRandom } from './seeded-random.ts';
import { SimulatedAgent } from './agent/simulated-agent.ts';
import { SimulatedFile } from './agent/simulated-file.ts';
import { Puts } from './agent/simulated-put.ts';
import { S3State } from './object-store/s3-state.ts';
import { SimulatedS3 } from './object-store/simulated-s3.ts';
import { type HandleAgentMessage, SimulatedServer } from './server/simulated-server.ts';
import { SimulatedTime } from './simulated-time.ts';
import type { Tally } from './tally.ts';
import { TransitionFacts } from './transition-facts.ts';
import { turns } from './turns.ts';
import { Witness } from './witness.ts';

/** How long a request of a killed server may still be on its way. */
const LATE_MS = 60_000;
const SWEEP_INTERVAL_MS = 10_000;
/** However long the time that passes at once. */
const MOST_SWEEPS = 6;

interface WorldOptions {
  readonly seed: number;
  readonly store: Store;
  readonly handle: HandleAgentMessage;
  readonly tally: Tally;
}

/** A server with its store, two machines with two files each, what lies between them, and time. */
export class World implements AsyncDisposable {
  readonly time = new SimulatedTime();
  readonly witness: Witness;
  readonly tally: Tally;
  readonly store: Store;
  readonly random: () => number;
  readonly s3: SimulatedS3;
  readonly puts: Puts;
  readonly agents: readonly SimulatedAgent[];
  readonly desk: OperatorDesk;
  connections: Connection[] = [];
  server: SimulatedServer | undefined;
  /** Of servers that are no more. */
  readonly lateRequests = new Map<S3Request, number>();
  readonly #handle: HandleAgentMessage;
  readonly #facts: TransitionFacts;

  constructor({ seed, store, handle, tally }: WorldOptions) {
    this.tally = tally;
    this.store = store;
    this.random = seededRandom(seed);
    this.#handle = handle;
    this.#facts = new TransitionFacts(tally);
    const { time, random } = this;
    const state = new S3State();
    const witness = new Witness(state);
    this.witness = witness;
    this.s3 = new SimulatedS3(state, { clock: time.clock, tally, witness, random });
    this.puts = new Puts(this.s3.urls, tally, this.random);
    const startedAt = time.clock.now();
    // Their clocks are slow: they take URLs for good that have expired.
    const now = () => (time.clock.now() - startedAt) * 0.8;
    const surroundings = { now, tally, witness, puts: this.puts };
    this.agents = ['client-1', 'client-2'].map(
      (clientId, index) =>
        new SimulatedAgent(
          {
            clientId,
            files: [new SimulatedFile('/data/a.bin', 8), new SimulatedFile('/data/b.bin', 17)],
            // One of an earlier release.
            canResume: index === 0,
          },
          surroundings,
        ),
    );
    this.desk = new OperatorDesk(this);
  }

  async startServer(): Promise<void> {
    const { store, s3, time, witness, random } = this;
    const server = new SimulatedServer({
      ...{ store, s3, time, witness, random, handle: this.#handle },
      observe: (change) => this.#facts.saw(change),
      onServerDeath: (dead, side) => this.#serverDied(dead, side),
    });
    this.server = server;
    await server.start();
    await this.settle();
  }

  connect(agent: SimulatedAgent): void {
    const { server, tally, witness } = this;
    if (server === undefined || agent.socket !== undefined) return;
    const { clientId } = agent;
    const isNoticed = this.connections.every((other) => other.clientId !== clientId || !other.isOpenAtServer);
    if (!isNoticed) tally.count('session replaced before its end was noticed');
    const connection = new Connection({ server, clientId, tally, witness });
    this.connections.push(connection);
    agent.connect(connection);
  }

  /** Lets the server come to rest, as far as it does not wait for the store or for time. */
  async settle(): Promise<void> {
    do await turns(2);
    while (this.server !== undefined && this.server.gate.underWay > 0);
  }

  /** With a sweep now and then. */
  async pass(ms: number): Promise<void> {
    const stride = Math.max(SWEEP_INTERVAL_MS, ms / MOST_SWEEPS);
    for (let left = ms; left > 0; left -= stride) {
      this.time.pass(Math.min(left, stride));
      for (const agent of this.agents) agent.timePassed();
      this.#forgetLateRequests();
      await this.settle();
      void this.server?.domain.sweeper.sweep();
      await this.settle();
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
    if (side !== undefined) this.tally.count(`server killed ${side} a write`);
    const rows = [...this.witness.rows.values()];
    if (rows.some(({ status }) => status === 'completing'))
      this.tally.count('server killed while completing');
    const isUnknown = rows.some(
      ({ objectToken, s3UploadId }) =>
        s3UploadId === null && [...this.s3.state.uploads.values()].some(({ token }) => token === objectToken),
    );
    if (isUnknown) this.tally.count('server killed between Create and its row');
    for (const request of this.s3.requests.waiting) {
      if (!this.lateRequests.has(request)) this.lateRequests.set(request, this.time.clock.now());
    }
    for (const connection of this.connections) {
      connection.cut({ loseFrames: true });
      connection.isOpenAtServer = false;
    }
    this.desk.abandon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server?.gate.die();
    // What was written last is finished before the store closes.
    await turns(3);
    this.time[Symbol.dispose]();
    await this.store.close();
  }
}
