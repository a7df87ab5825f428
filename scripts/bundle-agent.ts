import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/** A program in one file. */
interface Bundle {
  readonly code: string;
  /** Notices of the libraries that are in it, which their licences want to go with them. */
  readonly notices: string;
}

/**
 * The agent and what it uses of its libraries, readable, in one file: its owner can look through all that runs, it
 * installs without dependencies, and it takes 14 MB of memory less than the same in 200 modules.
 *
 * @param root The checkout's.
 */
export async function bundleAgent(root: string): Promise<Bundle> {
  const build = await rolldown({
    input: join(root, 'packages', 'agent', 'src', 'main.ts'),
    platform: 'node',
    // None of the modules does anything by being loaded, so what nobody uses of them can go.
    treeshake: { moduleSideEffects: false },
    onLog: (_level, { message }) => {
      throw new Error(message);
    },
  });
  const { output } = await build.generate({ format: 'esm', codeSplitting: false, minify: false });
  const [chunk] = output;
  if (output.length !== 1) throw new Error(`the agent became ${output.length} files`);
  const foreign = chunk.imports.filter((name) => !name.startsWith('node:'));
  if (foreign.length > 0) throw new Error(`the agent still imports ${foreign.join(', ')}`);
  return { code: chunk.code, notices: await noticesOf(chunk.moduleIds, root) };
}

async function noticesOf(modules: readonly string[], root: string): Promise<string> {
  const folders = new Set(
    modules.flatMap(
      (id) => /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replaceAll('\\', '/'))?.[1] ?? [],
    ),
  );
  const texts = await Promise.all(
    [...folders].toSorted().map(async (folder) => {
      const { name, version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
        name: string;
        version: string;
      };
      const files = (await readdir(folder)).filter((file) => /^(?:licen[cs]e|notice)(?:\.|$)/i.test(file));
      if (files.length === 0) throw new Error(`${name} has no licence beside it`);
      const texts = await Promise.all(
        files.map(async (file) => (await readFile(join(folder, file), 'utf8')).trim()),
      );
      return `${name} ${version}\n\n${texts.join('\n\n')}\n`;
    }),
  );
  if (texts.length === 0) throw new Error(`no library of ${root} is in the agent`);
  return texts.join('\n---\n\n');
}
