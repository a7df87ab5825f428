import { Stage } from '../../test/harness/stage.ts';
import { SideProcess } from '../side-process/side-process.ts';
import { Fleet } from './fleet.ts';
import type { LoadOrder } from './load-order.ts';

/** A server with simulated agents and operators. */
export interface Scene extends AsyncDisposable {
  readonly stage: Stage;
  readonly fleet: Fleet;
  readonly load: SideProcess<LoadOrder>;
}

/** Number of keep-alive connections of the operators. */
const CONNECTIONS = 128;
const FLEET_PROCESSES = 4;

export async function startScene({ signal }: { signal: AbortSignal }): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  // One token sends 10,000 concurrent commands.
  const env = { MAX_HELD_REQUESTS: '0', MAX_HELD_REQUESTS_PER_TOKEN: '0' };
  const stage = stack.use(await Stage.start({ compiled: true, env }));
  const fleet = stack.use(new Fleet(stage, { processes: FLEET_PROCESSES }));
  const load = stack.use(new SideProcess<LoadOrder>(new URL('load-main.ts', import.meta.url)));
  await load.order(
    { do: 'open', url: stage.url, token: stage.operatorToken, connections: CONNECTIONS },
    { signal },
  );
  const owned = stack.move();
  return { stage, fleet, load, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
