import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { gate } from '../doubles/open-gate.ts';
import { listDirectory } from '../../packages/agent/src/file/list-directory.ts';
import { openFile } from '../../packages/agent/src/file/open-file.ts';
import { linux } from '../../packages/agent/src/platform/linux.ts';
import { AllowList } from '../../packages/agent/src/policy/allow-list.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';
import { startSwapper } from './swapper.ts';

const ROUNDS = 10_000;
/** Maximum number of tries until a race was both won and lost. */
const MAX_ROUNDS = 50_000;

/** `root/door` is a directory; `root/other` is a link to `outside`, which contains the same names. */
async function places(): Promise<TemporaryDirectory & { root: string; door: string; other: string }> {
  const directory = await temporaryDirectory();
  const root = directory.join('root');
  const [door, other] = [directory.join('root', 'door'), directory.join('root', 'other')];
  await mkdir(door, { recursive: true });
  await writeFile(directory.join('root', 'door', 'file'), 'allowed');
  await mkdir(directory.join('root', 'door', 'sub'));
  await mkdir(directory.join('outside', 'sub'), { recursive: true });
  await writeFile(directory.join('outside', 'file'), 'secret!');
  await writeFile(directory.join('outside', 'sub', 'secret-name'), '');
  await symlink(directory.join('outside'), other);
  return { ...directory, root, door, other };
}

/** Linux, with a count of opened descriptors that led outside: races that the swapper won. */
function countingPlatform(outside: string) {
  const seen = { outside: 0 };
  const platform: typeof linux = {
    ...linux,
    async realPathOf(handle, opened) {
      const real = await linux.realPathOf(handle, opened);
      if (real.startsWith(outside)) seen.outside += 1;
      return real;
    },
  };
  return { platform, seen };
}

async function content(path: string, tools: Parameters<typeof openFile>[1]): Promise<string> {
  try {
    await using file = await openFile(path, tools);
    const buffer = Buffer.alloc(file.sizeBytes);
    await file.readFully(buffer, 0);
    return buffer.toString();
  } catch (error) {
    if (error instanceof BackhaulError) return error.code;
    throw error;
  }
}

/** Returns whether the listing is that of the outside directory. */
async function listed(
  path: string,
  tools: Parameters<typeof listDirectory>[1],
  secret: string,
): Promise<string> {
  try {
    const { entries } = await listDirectory(path, tools, { signal: AbortSignal.timeout(20_000) });
    return entries.some(({ name }) => name === secret) ? 'secret!' : 'allowed';
  } catch (error) {
    if (error instanceof BackhaulError) return error.code;
    throw error;
  }
}

for (const what of ['read', 'listed'] as const) {
  test(`a directory that is swapped for a link in a loop: nothing outside is ever ${what}`, async (t) => {
    await using place = await places();
    const { platform, seen } = countingPlatform(place.join('outside'));
    const allowList = new AllowList({ directories: [place.root], files: [], platform, gate });
    await allowList.problems();
    const tools = { allowList, platform, gate };
    await using swapper = await startSwapper(place.door, place.other);
    const outcomes = new Map<string, number>();
    let rounds = 0;
    const done = () => rounds >= ROUNDS && seen.outside > 0 && (outcomes.get('allowed') ?? 0) > 0;
    for (; !done() && rounds < MAX_ROUNDS; rounds += 1) {
      const outcome =
        what === 'read'
          ? await content(`${place.door}/file`, tools)
          : await listed(`${place.door}/sub`, tools, 'secret-name');
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    const figures = JSON.stringify({ rounds, outside: seen.outside, ...Object.fromEntries(outcomes) });
    t.diagnostic(`${swapper.kind}: ${figures}`);
    assert.ok(done(), `both outcomes were seen: ${figures}`);
    assert.equal(outcomes.get('secret!') ?? 0, 0, figures);
    const codes = new Set(['allowed', 'path_not_allowed', 'file_not_found', 'not_a_directory']);
    assert.deepEqual(
      [...outcomes.keys()].filter((outcome) => !codes.has(outcome)),
      [],
    );
  });
}
