import { similarName } from '@backhaul/program';
import { connect, type Context } from './context.ts';

/** Enough for most fleets; searching more is not worth the wait after a typing error. */
const SEARCHED = 5000;

/** Returns the known client_id most similar to an unknown one; undefined without the scope `read`. */
export async function suggestClient(context: Context, given: unknown): Promise<string | undefined> {
  if (typeof given !== 'string') return undefined;
  const names: string[] = [];
  try {
    for await (const { client_id } of connect(context).eachClient({ limit: 500 }, context)) {
      names.push(client_id);
      if (names.length >= SEARCHED) break;
    }
  } catch {
    // The suggestion is optional: the original error is reported without it.
    return undefined;
  }
  return similarName(given, names);
}
