import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage } from '../../test/harness/stage.ts';
import { SideProcess } from '../side-process/side-process.ts';
import type { FleetOrder, FleetReport } from './fleet-order.ts';

/** Together well below the number that a server checks concurrently, so that it rejects no agent. */
const HANDSHAKES_AT_ONCE = 192;

/** Permanently connected agents, spread over several processes. */
export class Fleet implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #processes: readonly SideProcess<FleetOrder>[];
  readonly #clientIds: string[] = [];

  constructor(stage: Stage, { processes }: { processes: number }) {
    this.#stage = stage;
    this.#processes = Array.from(
      { length: processes },
      () => new SideProcess<FleetOrder>(new URL('fleet-main.ts', import.meta.url)),
    );
  }

  get clientIds(): readonly string[] {
    return this.#clientIds;
  }

  /** Connects the missing agents. @returns Seconds needed, without creating tokens. */
  async growTo(count: number, { signal }: { signal: AbortSignal }): Promise<number> {
    const from = this.#clientIds.length;
    const added = Array.from({ length: count - from }, (_, index) => `till-${from + index + 1}`);
    const agents = await Promise.all(
      added.map(async (clientId) => ({ clientId, token: await this.#stage.tokens.agent(clientId) })),
    );
    const each = this.#processes.length;
    const startedAt = performance.now();
    await Promise.all(
      this.#processes.map((process, at) =>
        process.order(
          {
            do: 'connect',
            serverUrl: this.#stage.webSocketUrl,
            agents: agents.filter((_, index) => index % each === at),
            atOnce: HANDSHAKES_AT_ONCE / each,
          },
          { signal },
        ),
      ),
    );
    this.#clientIds.push(...added);
    return (performance.now() - startedAt) / 1000;
  }

  /** Returns arrivals since the previous report. */
  async report({ signal }: { signal: AbortSignal }): Promise<FleetReport> {
    const reports = await Promise.all(
      this.#processes.map((process) => process.order<FleetReport>({ do: 'report' }, { signal })),
    );
    return {
      latenciesMs: reports.flatMap(({ latenciesMs }) => latenciesMs),
      connected: reports.reduce((sum, { connected }) => sum + connected, 0),
    };
  }

  /** Returns the delays of `count` commands once all have arrived. @throws Error after 10 s. */
  async delaysOf(count: number, { signal }: { signal: AbortSignal }): Promise<number[]> {
    const delaysMs: number[] = [];
    const deadline = performance.now() + 10_000;
    for (;;) {
      delaysMs.push(...(await this.report({ signal })).latenciesMs);
      if (delaysMs.length >= count) return delaysMs;
      if (performance.now() > deadline) throw new Error(`${delaysMs.length} of ${count} commands arrived`);
      await sleep(50, undefined, { signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process[Symbol.asyncDispose]()));
  }
}
