import { pidOf } from '../pid-of.ts';
import { processUsage } from '../../test/harness/process-usage.ts';
import type { Stage } from '../../test/harness/stage.ts';
import type { CommandUsage } from './timed-command.ts';

export interface OwnPull extends AsyncDisposable {
  readonly agentPid: number;
  /** Pulls from the trigger to the verified record, with CPU time of agent and server. @throws Error otherwise. */
  pull(): Promise<CommandUsage>;
}

/** Sends a file with Backhaul: a permanent agent handles repeated pulls. */
export async function pullWithAgent(
  stage: Stage,
  { clientId, file, args }: { clientId: string; file: string; args: readonly string[] },
): Promise<OwnPull> {
  const agent = await stage.startAgent(clientId, ['--file', file, ...args]);
  const agentPid = pidOf(agent);
  const cpuSeconds = async (): Promise<number> => {
    const usages = await Promise.all([agentPid, pidOf(stage.server)].map(processUsage));
    return usages.reduce((sum, usage) => sum + usage.cpuSeconds, 0);
  };
  return {
    agentPid,
    pull: async () => {
      const cpuBefore = await cpuSeconds();
      const startedAt = performance.now();
      const record = await stage.client.triggerDownload(clientId, {}, { waitSeconds: 300 });
      const seconds = (performance.now() - startedAt) / 1000;
      if (record.status !== 'completed' || record.verification !== 'full_object') {
        throw new Error(`the pull ended as ${record.status} (${record.verification}): ${record.message}`);
      }
      return { seconds, cpuSeconds: (await cpuSeconds()) - cpuBefore };
    },
    [Symbol.asyncDispose]: async () => void (await agent.stop()),
  };
}
