import fc from 'fast-check';
import { checkInvariants } from '../invariants.ts';
import { ticks } from '../ticks.ts';
import type { Simulation } from '../simulation.ts';

export type SimulationCommand = fc.AsyncCommand<Simulation, Simulation>;

interface Recipe<Given> {
  /** Whether it can happen now. */
  readonly can?: (simulation: Simulation, given: Given) => boolean;
  readonly act: (simulation: Simulation, given: Given) => void | Promise<void>;
}

/**
 * A command of the simulation. After most commands the server becomes idle before the next one; some are followed
 * immediately.
 */
export function command<Given>(
  name: string,
  given: fc.Arbitrary<Given>,
  { can = () => true, act }: Recipe<Given>,
): fc.Arbitrary<SimulationCommand> {
  const isImmediate = fc.integer({ min: 0, max: 4 }).map((dice) => dice === 4);
  return fc.tuple(given, isImmediate).map(([given, isImmediate]) => ({
    // `check` gets the simulation read-only; it changes nothing.
    check: (simulation) => can(simulation as Simulation, given),
    async run(simulation) {
      await act(simulation, given);
      if (isImmediate) {
        await ticks(1);
      } else {
        await simulation.idle();
        await checkInvariants(simulation);
      }
    },
    toString: () => `${name}(${fc.stringify(given)}${isImmediate ? ', immediate' : ''})`,
  }));
}

/** Picks one of the items, whatever number was drawn. */
export function pick<Item>(items: readonly Item[], drawn: number): Item | undefined {
  return items[drawn % items.length];
}

/** A number for {@link pick}. */
export const drawn = fc.nat(7);

/** The agent that can resume is drawn more often. */
export const someAgent = fc.constantFrom(0, 0, 1);
