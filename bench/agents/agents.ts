import type { Experiment, Findings } from '../experiment.ts';
import { quantile } from '../quantile.ts';
import { countRows } from './count-rows.ts';
import type { LoadOrder, LoadReport } from './load-order.ts';
import { measureMemory } from './memory-per-agent.ts';
import { startScene } from './scene.ts';

type Measurement = Findings['measurements'][number];

const SUBJECT = 'Backhaul server';
const TRIGGERS_PER_SECOND = 200;

export const agents: Experiment = {
  name: 'agents',
  title: 'Ten thousand connected agents',
  about:
    'One server with its own SQLite database; agents without files, in four other processes, which refuse every pull; ' +
    'operators in another, over 128 kept-alive connections. All of them share the cores of one machine. Memory: the ' +
    "server's resident memory once it stays as it is, less that before the first agent, divided by their number. " +
    'Delay: from just before a trigger is sent until its prepare_upload is at the agent.',
  async run({ quick, say, signal }) {
    const counts = quick ? [1, 10, 100] : [1, 10, 100, 1000, 10_000];
    const rounds = quick ? 1 : 3;
    const seconds = quick ? 2 : 15;
    await using scene = await startScene({ signal });
    const { stage, fleet, load } = scene;
    const order = (what: LoadOrder): Promise<LoadReport> => load.order<LoadReport>(what, { signal });

    const memory = await measureMemory(scene, { counts, say, signal });
    const count = fleet.clientIds.length;
    const { clientIds } = fleet;

    const checks: number[] = [];
    // The first round compiles the server's code and is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      const checked = await order({ do: 'health_check', clientIds });
      allAnswered(checked, 200, count);
      if (round > 0) checks.push(checked.seconds);
      say(`health_check of ${count}: ${checked.seconds.toFixed(2)} s`);
    }

    const perSecond = TRIGGERS_PER_SECOND;
    const steady = await order({ do: 'trigger_steadily', clientIds, perSecond, seconds });
    allAnswered(steady, 202, perSecond * seconds);
    // The response to `report` covers all earlier arrivals; a command may arrive after its trigger's response.
    const delays = await fleet.delaysOf(perSecond * seconds, { signal });
    say(`${perSecond} triggers a second: p99 of the delay ${quantile(delays, 0.99).toFixed(1)} ms`);

    const burst = await order({ do: 'trigger', clientIds });
    allAnswered(burst, 202, count);
    await stage.restartServer({ signal: 'SIGKILL' });
    const rows = countRows(stage.directory, burst.uploadIds);
    say(`${count} triggers at once: ${burst.seconds.toFixed(2)} s, ${rows} rows after kill -9`);

    const at = { axis: 'agents', value: count };
    const measured = (quantity: string, unit: string, samples: number[]): Measurement => ({
      ...{ quantity, unit, subject: SUBJECT, at, samples },
    });
    return {
      measurements: [
        ...memory.measurements,
        measured('health_check of all', 's', checks),
        measured('delay of a trigger, median', 'ms', [quantile(delays, 0.5)]),
        measured('delay of a trigger, p99', 'ms', [quantile(delays, 0.99)]),
        measured('triggers at once, all accepted', 's', [burst.seconds]),
      ],
      requirements: [
        memory.requirement,
        {
          text: `health_check answered by ${count} agents, slowest round but the first`,
          ...{ measured: Math.max(...checks), unit: 's', limit: { atMost: 2 } },
        },
        {
          text: `${perSecond} triggers a second: p99 from trigger to command at the agent`,
          ...{ measured: quantile(delays, 0.99), unit: 'ms', limit: { atMost: 20 } },
        },
        {
          text: `${count} triggers at once: accepted ones in the database after kill -9`,
          ...{ measured: rows, unit: 'rows', limit: { atLeast: count } },
        },
      ],
      notes: [],
    };
  },
};

/** @throws Error on any other status: its response time would mean nothing. */
function allAnswered({ statuses }: LoadReport, status: number, count: number): void {
  if (statuses[status] !== count) {
    throw new Error(`of ${count} answers not all have status ${status}: ${JSON.stringify(statuses)}`);
  }
}
