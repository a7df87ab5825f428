import fc from 'fast-check';
import { checkInvariants } from '../invariants.ts';
import { turns } from '../turns.ts';
import type { World } from '../world.ts';

export type WorldCommand = fc.AsyncCommand<World, World>;

interface Recipe<Given> {
  /** Whether it can happen now. */
  readonly can?: (world: World, given: Given) => boolean;
  readonly act: (world: World, given: Given) => void | Promise<void>;
}

/** A command of the model. Most leave the server time to come to rest; after some the next one follows at once. */
export function command<Given>(
  name: string,
  given: fc.Arbitrary<Given>,
  { can = () => true, act }: Recipe<Given>,
): fc.Arbitrary<WorldCommand> {
  const isInHaste = fc.integer({ min: 0, max: 4 }).map((dice) => dice === 4);
  return fc.tuple(given, isInHaste).map(([given, isInHaste]) => ({
    // Commands are shown the world for reading only; what they ask it for changes nothing.
    check: (world) => can(world as World, given),
    async run(world) {
      await act(world, given);
      if (isInHaste) {
        await turns(1);
      } else {
        await world.settle();
        await checkInvariants(world);
      }
    },
    toString: () => `${name}(${fc.stringify(given)}${isInHaste ? ', in haste' : ''})`,
  }));
}

/** One of what is there, whatever number was drawn. */
export function pick<Item>(items: readonly Item[], drawn: number): Item | undefined {
  return items[drawn % items.length];
}

/** A number to {@link pick} by. */
export const drawn = fc.nat(7);

/** More often the one that can resume. */
export const someAgent = fc.constantFrom(0, 0, 1);
