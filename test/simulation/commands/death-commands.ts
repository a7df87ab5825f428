import fc from 'fast-check';
import { type SimulationCommand, command, drawn, pick, someAgent } from './command.ts';
import { rotPart } from './store-commands.ts';

/** A machine is off for a while, and its files may have changed meanwhile. */
export const agentDeaths: fc.Arbitrary<SimulationCommand> = command(
  'kill the agent',
  fc.record({
    agent: someAgent,
    loseFrames: fc.boolean(),
    meanwhile: fc.constantFrom('nothing', 'nothing', 'rewrite', 'chmod', 'rot'),
    drawn,
  }),
  {
    act(simulation, { agent, loseFrames, meanwhile, drawn }) {
      const machine = simulation.agents[agent];
      if ((machine?.activeTransfers.length ?? 0) > 0)
        simulation.coverage.count('agent killed during an attempt');
      machine?.kill({ loseFrames });
      const file = pick(machine?.files ?? [], drawn);
      if (meanwhile === 'rewrite') file?.rewrite();
      if (meanwhile === 'chmod') file?.chmod();
      if (meanwhile === 'rot') rotPart(simulation, drawn);
    },
  },
);

export const serverDeaths: readonly fc.Arbitrary<SimulationCommand>[] = [
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
      act: ({ server }, { calls, side }) => server?.gate.killAtWrite(calls, side),
    },
  ),
];

export const restart: fc.Arbitrary<SimulationCommand> = command('start the server', fc.constant(null), {
  can: ({ server }) => server === undefined,
  act: (simulation) => simulation.startServer(),
});
