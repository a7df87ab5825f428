import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { seededRandom } from '../../harness/seeded-random.ts';
import { Stage } from '../../harness/stage.ts';
import { temporaryDirectory } from '../../harness/temporary-directory.ts';
import { ChangingFile } from './changing-file.ts';
import { type FileSystemKind, mountTmpfs } from './file-systems.ts';
import { MappedMemory } from './mapped-memory.ts';
import { pullChangingFile } from './pull-changing-file.ts';
import { Results } from './results.ts';

/**
 * Number of parts of each file. The last parts of the largest are read only after its first parts have been sent; the
 * others are pulled more often.
 */
const FILES = [42, 12, 12];
/** Extra time, on a busy machine, to meet the first change. */
const GRACE_MS = 180_000;
/** Minimum time left to let a file rest for 11 s. */
const WORTH_RESTING_MS = 13_000;

interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly python: string;
}

/**
 * Pulls files of one file system while they are changed. Everything it starts has ended when it returns.
 *
 * @returns undefined if mounting fails; `say` receives the reason.
 */
export async function soakFileSystem(
  kind: FileSystemKind,
  { seconds, seed, python }: SoakOptions,
  say: (text: string) => void,
): Promise<Results | undefined> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory());
  const [base, objects] = [directory.join('disk'), directory.join('objects')];
  for (const name of [base, objects]) await mkdir(name);
  let mounted;
  try {
    mounted = cleanup.use(await kind.mount(base, python));
  } catch (error) {
    say(`NOT MOUNTED: ${kind.name}: ${error instanceof Error ? error.message.trim() : String(error)}`);
    return undefined;
  }
  // Objects are stored in memory, where pulls take less time.
  cleanup.use(mountTmpfs(objects));
  const stage = cleanup.use(await Stage.start({ directory, objects }));
  const args = ['--allow', mounted.directory, '--max-uploads', String(FILES.length), '--no-sha256'];
  const agent = await stage.startAgent('soak', args);
  // The agent stops before the unmount.
  cleanup.defer(async () => void (await agent.stop()));
  const results = new Results({ trustsTimestamps: kind.trustsTimestamps === true });
  const stop = new AbortController();
  const endsAt = performance.now() + seconds * 1000;
  const seeReadTwice = () => {
    const lines = agent.output.stdout.split('\n').concat(agent.output.stderr.split('\n'));
    const uploads = lines.filter((line) => line.includes('reading the file a second time')).map(uploadOf);
    results.readTwice = new Set(uploads);
  };
  const hasMetAll = () => {
    seeReadTwice();
    const { lacksTrustedChange } = results;
    return results.total('completed') > 0 && results.total('fileChanged') > 0 && !lacksTrustedChange;
  };
  const pullAll = async (parts: number, number: number): Promise<void> => {
    const random = seededRandom(seed + 0x9e3779b9 * (number + 1));
    await using memory = await MappedMemory.start(python);
    const name = `file-${number}`;
    // Writers of some files bypass the mount if the file system has another path.
    const writers = number % 2 === 0 ? mounted.directory : (mounted.behind ?? mounted.directory);
    const paths = { path: path.join(mounted.directory, name), writtenAt: path.join(writers, name) };
    const file = await ChangingFile.create({ ...paths, parts, memory, random });
    while (!stop.signal.aborted && performance.now() < (hasMetAll() ? endsAt : endsAt + GRACE_MS)) {
      const leftMs = endsAt - performance.now();
      const asUsual = leftMs > WORTH_RESTING_MS ? 'sometimes' : 'never';
      const rest = leftMs < 0 && results.lacksTrustedChange ? 'always' : asUsual;
      await pullChangingFile({ stage, clientId: 'soak', file, random, results }, { rest });
    }
  };
  const pulling = FILES.map((parts, number) =>
    pullAll(parts, number).catch((error: unknown) => {
      stop.abort();
      throw error;
    }),
  );
  const ends = await Promise.allSettled(pulling);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  await agent.stop();
  seeReadTwice();
  return results;
}

function uploadOf(line: string): string {
  return /"upload_id":"([^"]+)"/.exec(line)?.[1] ?? line;
}
