import fc from 'fast-check';
import { type WorldCommand, command, drawn, pick, someAgent } from './command.ts';
import { rotPart } from './store-commands.ts';

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
      if (meanwhile === 'rot') rotPart(world, drawn);
    },
  },
);

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
