import type { EmbeddedStore } from '../harness/embedded-store.ts';
import { type Fault, lasting } from './fault.ts';
import type { SoakAgent } from './soak-agent.ts';
import type { SoakServer } from './soak-server.ts';

/** Minimum and maximum in milliseconds. */
const AWAY = [0, 5000] as const;
const STOPPED = [1000, 8000] as const;

export function agentFaults(agent: SoakAgent): Fault[] {
  const end = (kind: string, signal: NodeJS.Signals, weight: number): Fault => ({
    kind,
    target: agent.clientId,
    weight,
    run: async (options) => {
      const exit = await agent.end(signal);
      await lasting(options, AWAY);
      await agent.start();
      return exit === undefined ? 0 : 1;
    },
  });
  return [
    end('kill -9 an agent', 'SIGKILL', 3),
    end('terminate an agent', 'SIGTERM', 1),
    stopped('an agent', agent.clientId, (signal) => agent.signal(signal)),
  ];
}

export function serverFaults(server: SoakServer): Fault[] {
  const restart = (kind: string, signal: NodeJS.Signals, weight: number): Fault => ({
    kind,
    target: 'server',
    weight,
    run: async () => {
      await server.restart(signal);
      return 1;
    },
  });
  return [
    restart('kill -9 the server', 'SIGKILL', 5),
    restart('terminate the server', 'SIGTERM', 2),
    { ...stopped('the server', 'server', (signal) => server.signal(signal)), weight: 2 },
  ];
}

export function storeFaults(store: EmbeddedStore): Fault[] {
  return [
    {
      kind: 'kill -9 the store',
      target: 'store',
      weight: 2,
      run: async (options) => {
        await store.goAway();
        await lasting(options, AWAY);
        await store.comeBack();
        return 1;
      },
    },
    stopped('the store', 'store', (signal) => store.signal(signal)),
  ];
}

function stopped(what: string, target: string, send: (signal: 'SIGSTOP' | 'SIGCONT') => void): Fault {
  return {
    kind: `stop ${what} for seconds`,
    target,
    weight: 1,
    run: async (options) => {
      send('SIGSTOP');
      await lasting(options, STOPPED);
      send('SIGCONT');
      return 1;
    },
  };
}
