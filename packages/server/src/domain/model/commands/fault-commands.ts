import fc from 'fast-check';
import { type Operation } from '../s3-requests.ts';
import { HOUR_MS } from '../simulated-server.ts';
import type { World } from '../world.ts';
import { type WorldCommand, command, drawn, pick, someAgent } from './command.ts';

const operations: Operation[] = ['create', 'complete', 'listParts', 'abort', 'head', 'delete', 'ping'];

export const storeFaults: readonly fc.Arbitrary<WorldCommand>[] = [
  command(
    'the store fails next',
    fc.record({
      operation: fc.constantFrom(...operations, 'complete' as const, 'complete' as const),
      fault: fc.constantFrom('before' as const, 'after' as const),
    }),
    { act: ({ s3 }, { operation, fault }) => s3.requests.failNext(operation, fault) },
  ),
  command('the store is away', fc.constantFrom(true, false, false), {
    act({ s3 }, isAway) {
      s3.requests.isDown = isAway;
    },
  }),
  command('the store is slow', fc.boolean(), {
    act({ s3 }, isSlow) {
      s3.requests.isSlow = isSlow;
    },
  }),
  command('a line to the store breaks', drawn, {
    can: ({ s3 }) => s3.requests.waiting.length > 0,
    act({ s3 }, drawn) {
      const request = pick(s3.requests.waiting, drawn);
      if (request !== undefined) s3.requests.fail(request);
    },
  }),
  command('a multipart upload vanishes', drawn, {
    can: ({ s3 }) => s3.state.uploads.size > 0,
    act({ s3, tally }, drawn) {
      const upload = pick([...s3.state.uploads.values()], drawn);
      if (upload === undefined) return;
      s3.state.vanish(upload.s3UploadId);
      tally.count('multipart upload vanished');
    },
  }),
  command('a stored part rots', drawn, {
    can: ({ s3 }) => s3.state.storedParts.length > 0,
    act: rot,
  }),
];

export const putFaults: readonly fc.Arbitrary<WorldCommand>[] = (
  ['break', 'arriveUnheard', 'arrive'] as const
).map((how) =>
  command(`a PUT comes to ${how}`, drawn, {
    can: ({ puts }) => puts.underWay.length > 0,
    act({ puts }, drawn) {
      const put = pick(puts.underWay, drawn);
      if (put !== undefined) puts.end(put, how);
    },
  }),
);

/** A machine is off for a while, and what was read from its disk by then may not be there any more. */
export const agentDeaths: fc.Arbitrary<WorldCommand> = command(
  'kill the agent',
  fc.record({
    agent: someAgent,
    loseFrames: fc.boolean(),
    meanwhile: fc.constantFrom('nothing', 'nothing', 'rewrite', 'chmod', 'rot'),
    drawn,
  }),
  {
    act(world, { agent, loseFrames, meanwhile, drawn }) {
      const machine = world.agents[agent];
      if ((machine?.activeTransfers.length ?? 0) > 0) world.tally.count('agent killed during an attempt');
      machine?.kill({ loseFrames });
      const file = pick(machine?.files ?? [], drawn);
      if (meanwhile === 'rewrite') file?.rewrite();
      if (meanwhile === 'chmod') file?.chmod();
      if (meanwhile === 'rot') rot(world, drawn);
    },
  },
);

function rot({ s3, tally }: World, drawn: number): void {
  // Nobody else notices.
  if (!s3.honours.fullObjectChecksum) return;
  const part = pick(s3.state.storedParts, drawn);
  if (part === undefined || part.content.length === 0) return;
  part.content = part.content.map((block) => -block);
  tally.count('stored part rotted');
}

export const serverDeaths: readonly fc.Arbitrary<WorldCommand>[] = [
  command('kill the server', fc.constant(null), {
    can: ({ server }) => server !== undefined,
    act: ({ server }) => server?.gate.die(),
  }),
  command(
    'kill the server at a write',
    fc.record({
      calls: fc.integer({ min: 1, max: 6 }),
      side: fc.constantFrom('before' as const, 'after' as const),
    }),
    {
      can: ({ server }) => server !== undefined,
      act: ({ server }, { calls, side }) => server?.gate.light(calls, side),
    },
  ),
];

export const restart: fc.Arbitrary<WorldCommand> = command('start the server', fc.constant(null), {
  can: ({ server }) => server === undefined,
  act: (world) => world.startServer(),
});

export const longTimes: fc.Arbitrary<WorldCommand> = command(
  'pass',
  fc.constantFrom(1_000_000, 1_000_000, 2 * HOUR_MS, 25 * HOUR_MS),
  { act: (world, ms) => world.pass(ms) },
);

export const timeCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  command('pass a little', fc.constantFrom(1000, 20_000, 60_000), { act: (world, ms) => world.pass(ms) }),
  command('sweep', fc.constant(null), {
    can: ({ server }) => server !== undefined,
    act({ server }) {
      void server?.domain.sweeper.sweep();
    },
  }),
];
