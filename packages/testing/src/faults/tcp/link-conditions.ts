import { EventEmitter, once } from 'node:events';
import { EffectCount } from '../effect-count.ts';

/** Timers come late, and a line that forgot it would be slower than it is said to be. */
export const CATCH_UP_MS = 50;

export type Direction = 'toTarget' | 'toClient';

const effects = [
  'cut',
  'reset',
  'halfOpen',
  'strand',
  'refuse',
  'stopReading',
  'limitBytes',
  'delay',
  'limitBandwidth',
  'limitConnectionBandwidth',
  'strandSome',
  'endAfterAnswers',
] as const;
/** By the name of the method that asks for it. */
export type TcpEffect = (typeof effects)[number];

/** What all connections of one proxy are subject to at the moment, and how often each condition showed. */
export class LinkConditions {
  delayMs = 0;
  /** Whether a connection takes a round trip of that delay before it passes anything, as TCP's handshake does. */
  delaysHandshake = false;
  bytesPerSecond: number | undefined;
  /** Of each connection. */
  connectionBytesPerSecond: number | undefined;
  readonly effects = Object.fromEntries(effects.map((name) => [name, new EffectCount()])) as Readonly<
    Record<TcpEffect, EffectCount>
  >;
  readonly #changed = new EventEmitter().setMaxListeners(0);
  /** When the line of each direction has sent all that was given to it. */
  readonly #freeAt: Record<Direction, number> = { toTarget: 0, toClient: 0 };
  #silent = false;
  #readsClients = true;

  get silent(): boolean {
    return this.#silent;
  }

  setSilent(silent: boolean): void {
    this.#silent = silent;
    this.#changed.emit('changed');
  }

  setReadsClients(reads: boolean): void {
    this.#readsClients = reads;
    this.#changed.emit('changed');
  }

  /** Whether bytes are taken from who sends them this way. */
  passes(direction: Direction): boolean {
    return !this.#silent && (direction === 'toClient' || this.#readsClients);
  }

  /** Waits until they are. @throws AbortError */
  async passable(direction: Direction, signal: AbortSignal): Promise<void> {
    while (!this.passes(direction)) await once(this.#changed, 'changed', { signal });
  }

  /** Gives so many bytes to the line. @returns Milliseconds until they have been sent. */
  occupy(direction: Direction, sizeBytes: number): number {
    if (this.bytesPerSecond === undefined) return 0;
    const now = performance.now();
    const freeAt =
      Math.max(now - CATCH_UP_MS, this.#freeAt[direction]) + (sizeBytes / this.bytesPerSecond) * 1000;
    this.#freeAt[direction] = freeAt;
    return freeAt - now;
  }
}
