import type { Simulation } from './simulation.ts';

/** An event that can happen next on its own. @returns whether anything happened. */
type SimulationEvent = () => boolean;

interface Moment {
  /** Whether a disconnected agent can reconnect. */
  readonly networkWorks: boolean;
  /** Whether slow PUTs also end. */
  readonly slowOnes: boolean;
  /** The outcome of PUTs. */
  readonly how: 'arrive' | 'break';
}

/** All events that can happen without a command: frames, responses and bodies arrive, agents work and reconnect. */
function possibleEvents(simulation: Simulation, { networkWorks, ...puts }: Moment): SimulationEvent[] {
  return [
    ...onSockets(simulation),
    ...atAgents(simulation, networkWorks),
    ...inFlight(simulation, puts),
    ...atTheStore(simulation),
  ];
}

/** Runs `count` events one after another, in an order derived from the simulation's seed. */
export async function runEvents(simulation: Simulation, count: number): Promise<void> {
  for (let step = 0; step < count; step += 1) {
    const events = possibleEvents(simulation, {
      networkWorks: simulation.random() < 0.3,
      slowOnes: simulation.random() < 0.1,
      how: simulation.random() < 0.1 ? 'break' : 'arrive',
    });
    const event = events[Math.floor(simulation.random() * events.length)];
    if (event === undefined) return;
    event();
    // Not always: concurrent work must not interfere.
    if (simulation.random() < 0.7) await simulation.idle();
  }
}

const everything: Moment = { networkWorks: true, slowOnes: true, how: 'arrive' };

/** Runs all events until none is left. */
export async function runToIdle(simulation: Simulation): Promise<void> {
  for (let round = 0; round < 2000; round += 1) {
    await simulation.idle();
    let moved = false;
    for (const event of possibleEvents(simulation, everything)) moved = event() || moved;
    if (!moved) return;
  }
  throw new Error('the simulation does not become idle');
}

function onSockets(simulation: Simulation): SimulationEvent[] {
  return simulation.connections.flatMap((connection) => {
    const agent = simulation.agents.find(({ socket }) => socket === connection);
    const events: SimulationEvent[] = [];
    if (connection.canDeliver) {
      events.push(() => {
        if (!connection.canDeliver) return false;
        // Messages about different uploads are handled concurrently.
        const at = simulation.random() < 0.3 ? connection.overtakingIndex : 0;
        if (at > 0) simulation.coverage.count('frame overtook one of another upload');
        connection.deliver(at);
        return true;
      });
    }
    if (agent !== undefined && connection.toAgent.length > 0) {
      events.push(() => {
        const frame = agent.socket === connection ? connection.toAgent.shift() : undefined;
        if (frame !== undefined) agent.receive(frame);
        return frame !== undefined;
      });
    }
    if (!connection.isOpenAtAgent && connection.isOpenAtServer) {
      events.push(() => {
        if (!connection.isOpenAtServer) return false;
        void connection.noticeEnd().catch((error: unknown) => simulation.checker.report(String(error)));
        return true;
      });
    }
    return events;
  });
}

function atAgents(simulation: Simulation, isBack: boolean): SimulationEvent[] {
  return simulation.agents.flatMap((agent) => {
    const work = agent.activeTransfers.map((transfer) => () => transfer.step());
    const isAway = agent.socket === undefined && simulation.server !== undefined && isBack;
    return isAway ? [...work, () => reconnect(simulation, agent)] : work;
  });
}

function reconnect(simulation: Simulation, agent: Simulation['agents'][number]): boolean {
  if (agent.socket !== undefined || simulation.server === undefined) return false;
  simulation.connect(agent);
  return true;
}

function inFlight({ puts }: Simulation, { slowOnes, how }: Omit<Moment, 'networkWorks'>): SimulationEvent[] {
  return puts.inFlight
    .filter(({ isSlow }) => slowOnes || !isSlow)
    .map((put) => () => {
      if (!puts.inFlight.includes(put)) return false;
      puts.end(put, how);
      return true;
    });
}

function atTheStore({ s3, lateRequests, coverage }: Simulation): SimulationEvent[] {
  return s3.requests.waiting.map((request) => () => {
    if (!s3.requests.waiting.includes(request)) return false;
    if (lateRequests.has(request) && request.state === 'sent') {
      coverage.count('request of a killed server took effect late');
    }
    s3.requests.step(request);
    return true;
  });
}
