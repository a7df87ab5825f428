/** Equals the part size of a pull; the first bytes of each part identify the state of the file. */
export const PART_BYTES = 5 * 1024 * 1024;
const APPENDED_BYTES = 4096;
const MARK_BYTES = 8;

/** Marks of all parts and appended blocks in order; every other byte is 0. Their number determines the size. */
export type FileState = readonly number[];

/** Offset of a mark. For the number of marks of a file: its size. @param parts Later marks are in appended blocks. */
export function offsetOf(mark: number, parts: number): number {
  return Math.min(mark, parts) * PART_BYTES + Math.max(0, mark - parts) * APPENDED_BYTES;
}

/** All states of a file, oldest first. */
export class FileStates {
  readonly #states: FileState[];

  constructor(first: FileState) {
    this.#states = [first];
  }

  get count(): number {
    return this.#states.length;
  }

  get last(): FileState {
    return this.#states.at(-1) ?? [];
  }

  /** Must be called before the state becomes visible. */
  add(state: FileState): void {
    this.#states.push(state);
  }

  /** @param from Excludes states before this index, which the file had already left. */
  includes(state: FileState, { from, asPrefix }: { from: number; asPrefix: boolean }): boolean {
    return this.#states.slice(from).some((known) => {
      const isSize = known.length === state.length || (asPrefix && known.length > state.length);
      return isSize && state.every((mark, index) => mark === known[index]);
    });
  }
}

/** @returns the state of these bytes; undefined if they match no possible state. */
export async function stateOf(chunks: AsyncIterable<Buffer>, parts: number): Promise<FileState | undefined> {
  const marks: number[] = [];
  const mark = Buffer.alloc(MARK_BYTES);
  let at = 0;
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length;) {
      const offset = offsetOf(marks.length, parts);
      if (at + from < offset) {
        const zeros = chunk.subarray(from, from + offset - (at + from));
        if (!isZero(zeros)) return undefined;
        from += zeros.length;
      } else {
        const done = at + from - offset;
        const some = chunk.subarray(from, from + MARK_BYTES - done);
        some.copy(mark, done);
        from += some.length;
        if (done + some.length === MARK_BYTES) marks.push(Number(mark.readBigUInt64LE()));
      }
    }
    at += chunk.length;
  }
  return at === offsetOf(marks.length, parts) ? marks : undefined;
}

const zeros = Buffer.alloc(1024 * 1024);

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const slice = bytes.subarray(at, at + zeros.length);
    if (!slice.equals(zeros.subarray(0, slice.length))) return false;
  }
  return true;
}
