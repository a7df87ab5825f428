import { similarName } from '@backhaul/program';
import { connect, type Context } from './context.ts';

/** Enough for a fleet; more is not worth waiting for after a slip of the fingers. */
const SEARCHED = 5000;

/** The machine that was probably meant by a client_id that the server does not know. Without the scope `read`: none. */
export async function meantClient(context: Context, given: unknown): Promise<string | undefined> {
  if (typeof given !== 'string') return undefined;
  const names: string[] = [];
  try {
    for await (const { client_id } of connect(context).eachClient({ limit: 500 }, context)) {
      names.push(client_id);
      if (names.length >= SEARCHED) break;
    }
  } catch {
    // The answer without a suggestion is the one that counts.
    return undefined;
  }
  return similarName(given, names);
}
