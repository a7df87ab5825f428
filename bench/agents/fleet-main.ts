/** Runs many bare agents in one process; see `fleet.ts`. */
import { answerOrders } from '../side-process/answer-orders.ts';
import { BareAgent } from './bare-agent.ts';
import type { FleetOrder, FleetReport } from './fleet-order.ts';
import { millisecondsSince } from './sent-path.ts';

const agents: BareAgent[] = [];
let latenciesMs: number[] = [];
const onPull = (filePath: string): void => void latenciesMs.push(millisecondsSince(filePath));

await answerOrders(async (line) => {
  const order = line as FleetOrder;
  if (order.do === 'connect') {
    const left = [...order.agents];
    const connectAll = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        agents.push(await BareAgent.connect(order.serverUrl, { token: next.token, onPull }));
      }
    };
    await Promise.all(Array.from({ length: order.atOnce }, connectAll));
    return {};
  }
  const connected = agents.filter(({ isConnected }) => isConnected).length;
  const report: FleetReport = { latenciesMs, connected };
  latenciesMs = [];
  return report;
});
for (const agent of agents) agent.terminate();
