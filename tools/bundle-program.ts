import { readFile, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Plugin, rolldown } from 'rolldown';

/** A program in one file. */
export interface Bundle {
  readonly code: string;
  /** Notices of the bundled libraries, which their licences require to be distributed with them. */
  readonly notices: string;
}

/**
 * Bundles the agent and the parts of its libraries that it uses into one readable file: its owner can read all code that
 * runs, it installs without dependencies, and it takes 14 MB of memory less than as 200 modules.
 *
 * @param root The checkout's root.
 */
async function bundleAgent(root: string): Promise<Bundle> {
  // The bundler names modules by their real paths.
  const sources = await realpath(join(root, 'packages', 'agent', 'src'));
  const thread = await bundle(join(sources, 'file', 'hash-thread.ts'));
  const inlined = replaceModule(join(sources, 'file', 'hash-thread-program.ts'), threadProgram(thread.code));
  const agent = await bundle(join(sources, 'main.ts'), [inlined]);
  return { code: agent.code, notices: await noticesOf([...thread.moduleIds, ...agent.moduleIds], root) };
}

/** Bundles the command line and the parts of its libraries that it uses, so that one tarball is enough. */
async function bundleCommandLine(root: string): Promise<Bundle> {
  const { code, moduleIds } = await bundle(join(root, 'packages', 'cli', 'src', 'main.ts'));
  return { code, notices: await noticesOf(moduleIds, root) };
}

/** Programs that are published as one file, by their folder. */
export const bundles: Readonly<Record<string, (root: string) => Promise<Bundle>>> = {
  agent: bundleAgent,
  cli: bundleCommandLine,
};

async function bundle(
  input: string,
  plugins: Plugin[] = [],
): Promise<{ code: string; moduleIds: readonly string[] }> {
  const build = await rolldown({
    input,
    plugins,
    platform: 'node',
    // No module but the entry has side effects, so unused exports of the others can be removed. Building a schema has none
    // either: a program contains only the schemas that it uses, wherever they are written.
    treeshake: { moduleSideEffects: false, manualPureFunctions: ['z'], propertyReadSideEffects: false },
    onLog: (_level, { message }) => {
      throw new Error(message);
    },
  });
  const { output } = await build.generate({
    format: 'esm',
    codeSplitting: false,
    minify: false,
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  const [chunk] = output;
  if (output.length !== 1) throw new Error(`${input} became ${output.length} files`);
  const foreign = chunk.imports.filter((name) => !name.startsWith('node:'));
  if (foreign.length > 0) throw new Error(`${input} still imports ${foreign.join(', ')}`);
  return chunk;
}

/** Replaces a module's code. The build fails if the module is no longer imported. */
function replaceModule(module: string, code: string): Plugin {
  let isReplaced = false;
  return {
    name: 'replace-module',
    load(id) {
      if (id !== module) return null;
      isReplaced = true;
      return code;
    },
    buildEnd() {
      if (!isReplaced) throw new Error(`nothing imports ${module}`);
    },
  };
}

/** A thread is started from a file or a URL; this is a data URL that contains the program, as readable as the rest. */
function threadProgram(code: string): string {
  const text = code.replaceAll(/[\\`]|\$\{/g, (special) => `\\${special}`);
  return `export const hashThreadProgram = new URL('data:text/javascript,' + encodeURIComponent(\`${text}\`));`;
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
      if (files.length === 0) throw new Error(`${name} has no licence file`);
      const texts = await Promise.all(
        files.map(async (file) => (await readFile(join(folder, file), 'utf8')).trim()),
      );
      return `${name} ${version}\n\n${texts.join('\n\n')}\n`;
    }),
  );
  if (texts.length === 0) throw new Error(`the program contains no library of ${root}`);
  return texts.join('\n---\n\n');
}
