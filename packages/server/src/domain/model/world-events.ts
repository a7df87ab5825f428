import type { World } from './world.ts';

/** Something that can happen next by itself. @returns whether anything did. */
type WorldEvent = () => boolean;

interface Moment {
  /** Whether an agent that is away can come back. */
  readonly linesWork: boolean;
  /** Whether also slow PUTs come to their end. */
  readonly slowOnes: boolean;
  /** What becomes of PUTs. */
  readonly how: 'arrive' | 'break';
}

/** All that can happen without anybody doing anything: frames, answers and bodies arrive, agents work and come back. */
function possibleEvents(world: World, { linesWork, ...puts }: Moment): WorldEvent[] {
  return [
    ...onSockets(world),
    ...atAgents(world, linesWork),
    ...onTheirWay(world, puts),
    ...atTheStore(world),
  ];
}

/** So many of them, one after another, in an order that follows from the world's seed. */
export async function letHappen(world: World, count: number): Promise<void> {
  for (let step = 0; step < count; step += 1) {
    const events = possibleEvents(world, {
      linesWork: world.random() < 0.3,
      slowOnes: world.random() < 0.1,
      how: world.random() < 0.1 ? 'break' : 'arrive',
    });
    const event = events[Math.floor(world.random() * events.length)];
    if (event === undefined) return;
    event();
    // Not always: what begins side by side has to go well together.
    if (world.random() < 0.7) await world.settle();
  }
}

const everything: Moment = { linesWork: true, slowOnes: true, how: 'arrive' };

/** All of them, until nothing is left to happen. */
export async function comeToRest(world: World): Promise<void> {
  for (let round = 0; round < 2000; round += 1) {
    await world.settle();
    let moved = false;
    for (const event of possibleEvents(world, everything)) moved = event() || moved;
    if (!moved) return;
  }
  throw new Error('the world does not come to rest');
}

function onSockets(world: World): WorldEvent[] {
  return world.connections.flatMap((connection) => {
    const agent = world.agents.find(({ socket }) => socket === connection);
    const events: WorldEvent[] = [];
    if (connection.canDeliver) {
      events.push(() => {
        if (!connection.canDeliver) return false;
        // What is about different uploads is not handled in order.
        const at = world.random() < 0.3 ? connection.overtaker : 0;
        if (at > 0) world.tally.count('frame overtook one of another upload');
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
        void connection.noticeEnd().catch((error: unknown) => world.witness.object(String(error)));
        return true;
      });
    }
    return events;
  });
}

function atAgents(world: World, isBack: boolean): WorldEvent[] {
  return world.agents.flatMap((agent) => {
    const work = agent.activeTransfers.map((transfer) => () => transfer.step());
    const isAway = agent.socket === undefined && world.server !== undefined && isBack;
    return isAway ? [...work, () => comeBack(world, agent)] : work;
  });
}

function comeBack(world: World, agent: World['agents'][number]): boolean {
  if (agent.socket !== undefined || world.server === undefined) return false;
  world.connect(agent);
  return true;
}

function onTheirWay({ puts }: World, { slowOnes, how }: Omit<Moment, 'linesWork'>): WorldEvent[] {
  return puts.underWay
    .filter(({ isSlow }) => slowOnes || !isSlow)
    .map((put) => () => {
      if (!puts.underWay.includes(put)) return false;
      puts.end(put, how);
      return true;
    });
}

function atTheStore({ s3, lateRequests, tally }: World): WorldEvent[] {
  return s3.requests.waiting.map((request) => () => {
    if (!s3.requests.waiting.includes(request)) return false;
    if (lateRequests.has(request) && request.state === 'sent') {
      tally.count('request of a killed server carried out late');
    }
    s3.requests.step(request);
    return true;
  });
}
