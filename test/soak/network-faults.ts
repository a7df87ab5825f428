import type { TcpFaultProxy } from '../faults/injection/tcp/tcp-fault-proxy.ts';
import { type Fault, lasting } from './fault.ts';

/** Minimum and maximum in milliseconds. */
const SOME_SECONDS = [2000, 8000] as const;
/** Longer than the silence after which a peer counts as dead. */
const LONG = [50_000, 60_000] as const;
const LONG_SHARE = 0.1;

/** @param link Names both ends. */
export function networkFaults(proxy: TcpFaultProxy, link: string): Fault[] {
  const fault = (
    effect: keyof typeof names,
    run: (options: Parameters<Fault['run']>[0]) => Promise<void>,
  ): Fault => ({
    kind: `${names[effect]} (${link})`,
    target: link,
    weight: 1,
    run: async (options) => {
      const before = proxy.fired[effect];
      await run(options);
      // Data that was delayed in pieces counts as one fault.
      return Math.min(1, proxy.fired[effect] - before);
    },
  });
  const silence = (effect: 'halfOpen' | 'stopReading', begin: () => void): Fault =>
    fault(effect, async (options) => {
      begin();
      await lasting(options, options.random() < LONG_SHARE ? LONG : SOME_SECONDS);
      await proxy.resume();
    });
  return [
    fault('cut', () => Promise.resolve(proxy.cut())),
    fault('strand', () => Promise.resolve(proxy.strand())),
    fault('reset', () => Promise.resolve(proxy.reset())),
    silence('halfOpen', () => proxy.halfOpen()),
    silence('stopReading', () => proxy.stopReading()),
    fault('refuse', async (options) => {
      proxy.refuse();
      proxy.reset();
      await lasting(options, SOME_SECONDS);
      await proxy.resume();
    }),
    fault('limitBytes', async (options) => {
      proxy.limitBytes(Math.floor(options.random() * 100_000), { connections: 2 });
      await lasting(options, SOME_SECONDS);
      proxy.limitBytes(undefined);
    }),
    fault('delay', async (options) => {
      proxy.delay(50 + options.random() * 500);
      await lasting(options, SOME_SECONDS);
      proxy.delay(0);
    }),
    fault('limitBandwidth', async (options) => {
      proxy.limitBandwidth(20_000 + options.random() * 200_000);
      await lasting(options, SOME_SECONDS);
      proxy.limitBandwidth(undefined);
    }),
  ];
}

const names = {
  cut: 'cut',
  strand: 'lose connections without a word',
  reset: 'reset',
  halfOpen: 'say nothing, half-open',
  stopReading: 'stop reading',
  refuse: 'refuse connections',
  limitBytes: 'cut in the middle of a message',
  delay: 'delay',
  limitBandwidth: 'crawl',
} as const satisfies Partial<Record<keyof TcpFaultProxy['fired'], string>>;
