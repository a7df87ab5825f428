/**
 * Compiles the published packages into `dist/packages/NAME`: plain JavaScript with declarations, the committed `bin`
 * shim, and a package.json that points at them. Node.js does not strip types inside `node_modules`, so sources
 * cannot be published. Agent and command line become one file each. `dist/node_modules` links to the packages, so that
 * they also run in place, with one another and not with the sources.
 */
import { spawnSync } from 'node:child_process';
import { access, cp, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { type Bundle, bundles } from './bundle-program.ts';
import { missingImports } from './missing-imports.ts';
import {
  type Manifest,
  NOTICES_FILE,
  bundledManifest,
  compiledPath,
  manifestSchema,
  publishedManifest,
} from './published-manifest.ts';

interface Workspace {
  readonly folder: string;
  readonly manifest: Manifest;
}

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const compiled = join(dist, 'compiled');

const workspaces = await readWorkspaces();
const published = workspaces.filter(({ manifest }) => manifest.private !== true);
const versions = new Map(workspaces.map(({ manifest }) => [manifest.name, manifest.version]));

await rm(compiled, { recursive: true, force: true });
await rm(join(dist, 'packages'), { recursive: true, force: true });
await rm(join(dist, 'node_modules'), { recursive: true, force: true });
await compile(published);
for (const workspace of published) {
  await stage(workspace);
  await link(workspace);
  console.log(`dist/packages/${workspace.folder}: ${workspace.manifest.name} ${workspace.manifest.version}`);
}
await rm(compiled, { recursive: true });

async function readWorkspaces(): Promise<Workspace[]> {
  const folders = await readdir(join(root, 'packages'));
  return Promise.all(
    folders.toSorted().map(async (folder) => {
      const text = await readFile(join(root, 'packages', folder, 'package.json'), 'utf8');
      const { data, error } = manifestSchema.safeParse(JSON.parse(text));
      if (data === undefined) throw new Error(`packages/${folder}/package.json: ${error.message}`);
      return { folder, manifest: data };
    }),
  );
}

/** Compiles one program for all packages, from their entries, so that code that only tests use is left out. */
async function compile(packages: readonly Workspace[]): Promise<void> {
  const files = packages.flatMap(({ folder, manifest }) =>
    sourcesOf(manifest).map((source) => join(root, 'packages', folder, source)),
  );
  const project = join(compiled, 'tsconfig.json');
  await mkdir(compiled, { recursive: true });
  await writeFile(
    project,
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        rootDir: root,
        outDir: compiled,
        paths: sourcePaths(packages),
      },
      // Declarations for libraries that have none.
      include: [join(root, 'packages', '*', 'src', '**', '*.d.ts')],
      files,
    }),
  );
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // The compiler reports errors on its standard output.
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', project], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stdout);
}

/**
 * Paths of the packages for one another. Through `node_modules` the compiler could treat them as libraries, and emit
 * nothing for them, depending on which import it meets first.
 */
function sourcePaths(packages: readonly Workspace[]): Record<string, string[]> {
  return Object.fromEntries(
    packages.flatMap(({ folder, manifest }) =>
      Object.entries(manifest.exports ?? {})
        .filter(([, target]) => compiledPath(target, '.js') !== undefined)
        .map(([name, target]) => [posix.join(manifest.name, name), [join(root, 'packages', folder, target)]]),
    ),
  );
}

function sourcesOf(manifest: Manifest): string[] {
  const imported = Object.values(manifest.imports ?? {}).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  );
  return [...Object.values(manifest.exports ?? {}), ...imported].filter(
    (target) => compiledPath(target, '.js') !== undefined,
  );
}

async function stage({ folder, manifest }: Workspace): Promise<void> {
  const source = join(root, 'packages', folder);
  const target = join(dist, 'packages', folder);
  const bundle = bundles[folder];
  if (bundle !== undefined) await writeBundle(target, await bundle(root));
  else await cp(join(compiled, 'packages', folder, 'src'), join(target, 'dist'), { recursive: true });
  if (manifest.bin !== undefined) await cp(join(source, 'bin'), join(target, 'bin'), { recursive: true });
  await cp(join(root, 'LICENSE'), join(target, 'LICENSE'));
  const readme = await readFile(join(source, 'README.md'), 'utf8').catch(() => shortReadme(manifest));
  await writeFile(join(target, 'README.md'), readme);
  const published = bundle !== undefined ? bundledManifest(manifest) : publishedManifest(manifest, versions);
  await writeFile(join(target, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  for (const path of JSON.stringify(published).match(/\.\/(?:bin|dist)\/[^"]+/g) ?? []) {
    await access(join(target, path));
  }
  const missing = await missingImports(join(target, 'dist'));
  if (missing.length > 0) throw new Error(`not compiled: ${missing.join(', ')}`);
}

async function writeBundle(target: string, { code, notices }: Bundle): Promise<void> {
  await mkdir(join(target, 'dist'), { recursive: true });
  await writeFile(join(target, 'dist', 'main.js'), code);
  await writeFile(join(target, NOTICES_FILE), notices);
}

async function link({ folder, manifest }: Workspace): Promise<void> {
  const target = join(dist, 'node_modules', manifest.name);
  await mkdir(dirname(target), { recursive: true });
  await symlink(join(dist, 'packages', folder), target, 'junction');
}

function shortReadme({ name, description }: Manifest): string {
  return `# ${name}\n\n${description}\n\nA part of Backhaul: pull files from machines you cannot reach.\n`;
}
