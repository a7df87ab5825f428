import { processUsage } from '../process-usage.ts';
import type { Installation } from './installation.ts';
import { QuietServer } from './quiet-server.ts';

/** Duration in seconds, because the agent pings once per second. */
const IDLE_PINGS = 5;

/** Returns the resident memory of an installed agent after some idle seconds on a connection. */
export async function idleRssBytes(installation: Installation): Promise<number> {
  await using server = await QuietServer.start();
  const idle = server.pings(IDLE_PINGS);
  await using agent = installation.start('backhaul-agent', [
    ...['--client-id', 'restaurant-1', '--allow', installation.directory],
    ...['--server-url', server.url, '--token', 'a.quiet.token'],
  ]);
  await Promise.race([idle, agent.exit.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
  if (agent.pid === undefined) throw new Error('the agent did not start');
  return (await processUsage(agent.pid)).rssBytes;
}
