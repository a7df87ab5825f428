import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Written in Python, because Node.js cannot map files. */
const program = `
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
    touched = memory[::mmap.PAGESIZE]
    print('mapped', flush=True)
    for line in sys.stdin:
        at, byte, count = map(int, line.split())
        memory[at:at + count] = bytes([byte]) * count
        print('written', flush=True)
`;

/** For a test's `skip`. */
export const whyNoMappedWriter =
  spawnSync('python3', ['-c', 'import mmap']).status === 0 ? false : 'mapped writes need python3';

/**
 * Another process that writes to a file through a memory mapping. It reads each page first: on tmpfs a write to such a
 * page does not change the file's times.
 */
export class MappedWriter implements AsyncDisposable {
  readonly #child;
  readonly #lines;

  private constructor(path: string) {
    this.#child = spawn('python3', ['-c', program, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  static async open(path: string): Promise<MappedWriter> {
    const writer = new MappedWriter(path);
    await writer.#expect('mapped');
    return writer;
  }

  /** Resolves when the bytes are written. */
  async write(range: { readonly offset: number; readonly length: number }, byte: number): Promise<void> {
    this.#child.stdin.write(`${range.offset} ${byte} ${range.length}\n`);
    await this.#expect('written');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.stdin.end();
    await ended;
  }

  async #expect(word: string): Promise<void> {
    const { value } = await this.#lines.next();
    if (value !== word) throw new Error(`the writer printed ${String(value)} instead of ${word}`);
  }
}
