import { EventEmitter, once } from 'node:events';
import { EffectCount } from '../effect-count.ts';

/** Credit for late timers; without it a link would be slower than its configured rate. */
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
/** Named after the method that requests the effect. */
export type TcpEffect = (typeof effects)[number];

/** Current conditions of all connections of one proxy, and counts of their effects. */
export class LinkConditions {
  delayMs = 0;
  /** Whether a connection first takes a round trip of `delayMs`, as TCP's handshake does. */
  delaysHandshake = false;
  bytesPerSecond: number | undefined;
  /** Rate limit of each connection. */
  connectionBytesPerSecond: number | undefined;
  readonly effects = Object.fromEntries(effects.map((name) => [name, new EffectCount()])) as Readonly<
    Record<TcpEffect, EffectCount>
  >;
  readonly #changed = new EventEmitter().setMaxListeners(0);
  /** Time when each direction will have sent all its bytes. */
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

  /** Whether bytes are accepted from the sender in this direction. */
  passes(direction: Direction): boolean {
    return !this.#silent && (direction === 'toClient' || this.#readsClients);
  }

  /** Waits until this direction passes bytes. @throws AbortError */
  async passable(direction: Direction, signal: AbortSignal): Promise<void> {
    while (!this.passes(direction)) await once(this.#changed, 'changed', { signal });
  }

  /** Schedules bytes on the link. @returns Milliseconds until they have been sent. */
  occupy(direction: Direction, sizeBytes: number): number {
    if (this.bytesPerSecond === undefined) return 0;
    const now = performance.now();
    const freeAt =
      Math.max(now - CATCH_UP_MS, this.#freeAt[direction]) + (sizeBytes / this.bytesPerSecond) * 1000;
    this.#freeAt[direction] = freeAt;
    return freeAt - now;
  }
}
