import { type FileHandle, open, rename, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileState, FileStates, offsetOf } from './file-states.ts';
import type { MappedMemory } from './mapped-memory.ts';

export const behaviours = [
  'written in place',
  'written when mapped',
  'written in place, times put back',
  'replaced by rename',
  'truncated',
  'appended to',
] as const;
export type Behaviour = (typeof behaviours)[number];

/** Maximum milliseconds between two steps of one change. */
const MAX_PAUSE_MS = 15;

interface Options {
  /** Path for the agent. */
  readonly path: string;
  /** Path for writers: differs if they bypass the mounted file system. */
  readonly writtenAt: string;
  /** Number of parts at creation. */
  readonly parts: number;
  readonly memory: MappedMemory;
  readonly random: () => number;
}

/** Sizes and times come from a cache for a second when writers bypass the mounted file system. */
const CACHED_MS = 1500;

/** A file, its writers, and all its states. Each step of a change is a separate state. */
export class ChangingFile {
  readonly path: string;
  readonly parts: number;
  readonly states: FileStates;
  readonly #options: Options;
  #lastMark = 0;
  #changedAt = performance.now();

  private constructor(options: Options) {
    this.path = options.path;
    this.parts = options.parts;
    this.#options = options;
    this.states = new FileStates(this.#freshMarks(options.parts));
  }

  static async create(options: Options): Promise<ChangingFile> {
    const file = new ChangingFile(options);
    await file.#write(options.writtenAt, file.states.last);
    await options.memory.map(options.writtenAt);
    return file;
  }

  /** Milliseconds since the last change. */
  get restedMs(): number {
    return performance.now() - this.#changedAt;
  }

  /** Whether all written data is visible at its path. */
  get isSettled(): boolean {
    return this.path === this.#options.writtenAt || this.restedMs > CACHED_MS;
  }

  async change(behaviour: Behaviour): Promise<void> {
    const { writtenAt, memory } = this.#options;
    switch (behaviour) {
      case 'written in place':
        await this.#inPlace(writeMark);
        break;
      case 'written in place, times put back':
        await this.#inPlace(async (file, offset, mark) => {
          const { atime, mtime } = await file.stat();
          await writeMark(file, offset, mark);
          await file.utimes(atime, mtime);
        });
        break;
      case 'written when mapped':
        await this.#inPlace((_, offset, mark) => memory.write(offset, mark));
        break;
      case 'replaced by rename': {
        const next = this.#freshMarks(this.parts);
        await this.#write(`${writtenAt}.new`, next);
        this.states.add(next);
        await rename(`${writtenAt}.new`, writtenAt);
        await memory.map(writtenAt);
        break;
      }
      case 'truncated':
        await this.#truncate();
        break;
      case 'appended to':
        await this.#append();
        break;
      default:
        behaviour satisfies never;
    }
    this.#changedAt = performance.now();
  }

  /** Writes one mark per step. */
  async #inPlace(write: (file: FileHandle, offset: number, mark: number) => Promise<void>): Promise<void> {
    await using file = await open(this.#options.writtenAt, 'r+');
    for (const index of this.#someParts()) {
      const mark = (this.#lastMark += 1);
      this.states.add(this.states.last.with(index, mark));
      await write(file, offsetOf(index, this.parts), mark);
      await this.#pause();
    }
  }

  async #truncate(): Promise<void> {
    const { writtenAt, random } = this.#options;
    const kept = this.states.last.slice(0, Math.floor((0.5 + random() / 2) * this.parts));
    this.states.add(kept);
    await truncate(writtenAt, offsetOf(kept.length, this.parts));
    await this.#pause();
    const grown = [...kept, ...Array.from({ length: this.parts - kept.length }, () => 0)];
    this.states.add(grown);
    await truncate(writtenAt, offsetOf(grown.length, this.parts));
  }

  async #append(): Promise<void> {
    await using file = await open(this.#options.writtenAt, 'r+');
    for (let blocks = 1 + this.#below(3); blocks > 0; blocks -= 1) {
      const [mark] = this.#freshMarks(1);
      const from = offsetOf(this.states.last.length, this.parts);
      const next = [...this.states.last, mark ?? 0];
      this.states.add(next);
      const block = Buffer.alloc(offsetOf(next.length, this.parts) - from);
      block.writeBigUInt64LE(BigInt(mark ?? 0));
      await file.write(block, 0, block.length, from);
      await this.#pause();
    }
  }

  /** Returns part indexes in write order. */
  #someParts(): number[] {
    const last = this.parts - 1;
    const all = Array.from({ length: this.parts }, (_, index) => index);
    const orders = [
      [0, last],
      [last, 0],
      all,
      all.toReversed(),
      [this.#below(this.parts), this.#below(this.parts), last],
    ];
    return orders[this.#below(orders.length)] ?? [0];
  }

  async #write(path: string, state: FileState): Promise<void> {
    await writeFile(path, '');
    await truncate(path, offsetOf(state.length, this.parts));
    await using file = await open(path, 'r+');
    for (const [index, mark] of state.entries()) {
      await writeMark(file, offsetOf(index, this.parts), mark);
    }
  }

  #freshMarks(count: number): FileState {
    return Array.from({ length: count }, () => (this.#lastMark += 1));
  }

  #below(limit: number): number {
    return Math.floor(this.#options.random() * limit);
  }

  async #pause(): Promise<void> {
    const ms = this.#below(2 * MAX_PAUSE_MS) - MAX_PAUSE_MS;
    if (ms > 0) await sleep(ms);
  }
}

async function writeMark(file: FileHandle, offset: number, mark: number): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(mark));
  await file.write(bytes, 0, bytes.length, offset);
}
