import fc from 'fast-check';
import { type Operation } from '../s3-requests.ts';
import { HOUR_MS } from '../simulated-server.ts';
import { type WorldCommand, command, drawn, pick } from './command.ts';

const operations: Operation[] = ['create', 'complete', 'listParts', 'abort', 'head', 'delete', 'ping'];
const isAgent = fc.record({ agent: fc.nat(1), loseFrames: fc.boolean() });

export const storeFaults: readonly fc.Arbitrary<WorldCommand>[] = [
  command(
    'the store fails next',
    fc.record({
      operation: fc.constantFrom(...operations, 'complete' as const, 'create' as const),
      fault: fc.constantFrom('before' as const, 'after' as const),
    }),
    { act: ({ s3 }, { operation, fault }) => s3.requests.failNext(operation, fault) },
  ),
  command('the store is away', fc.boolean(), {
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
    // Nobody else notices.
    can: ({ s3 }) => s3.honours.fullObjectChecksum && s3.state.storedParts.length > 0,
    act({ s3, tally }, drawn) {
      const part = pick(s3.state.storedParts, drawn);
      if (part === undefined || part.content.length === 0) return;
      part.content = part.content.map((block) => -block);
      tally.count('stored part rotted');
    },
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

export const crashes: readonly fc.Arbitrary<WorldCommand>[] = [
  command('kill the agent', isAgent, {
    act({ agents, tally }, { agent, loseFrames }) {
      const machine = agents[agent];
      if ((machine?.activeTransfers.length ?? 0) > 0) tally.count('agent killed during an attempt');
      machine?.kill({ loseFrames });
    },
  }),
  command('kill the server', fc.constant(null), {
    can: ({ server }) => server !== undefined,
    act: ({ server }) => server?.gate.die(),
  }),
  command(
    'kill the server at a write',
    fc.record({ calls: fc.integer({ min: 1, max: 6 }), side: fc.constantFrom('before' as const, 'after' as const) }),
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

export const timeCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  command('pass', fc.constantFrom(1000, 20_000, 60_000, 700_000, 2 * HOUR_MS, 25 * HOUR_MS), {
    act: (world, ms) => world.pass(ms),
  }),
  command('pass a little', fc.constantFrom(1000, 20_000, 60_000), { act: (world, ms) => world.pass(ms) }),
  command('sweep', fc.constant(null), {
    can: ({ server }) => server !== undefined,
    act({ server }) {
      void server?.domain.sweeper.sweep();
    },
  }),
];
