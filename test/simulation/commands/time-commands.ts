import fc from 'fast-check';
import { HOUR_MS } from '../server/simulated-server.ts';
import { type SimulationCommand, command } from './command.ts';

export const longTimes: fc.Arbitrary<SimulationCommand> = command(
  'pass',
  fc.constantFrom(1_000_000, 1_000_000, 2 * HOUR_MS, 25 * HOUR_MS),
  { act: (simulation, ms) => simulation.pass(ms) },
);

export const timeCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  command('pass a little', fc.constantFrom(1000, 20_000, 60_000), {
    act: (simulation, ms) => simulation.pass(ms),
  }),
  command('sweep', fc.constant(null), {
    can: ({ server }) => server !== undefined,
    act({ server }) {
      void server?.domain.sweeper.sweep();
    },
  }),
];
