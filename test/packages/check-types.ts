import { spawnSync } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Installation } from '../harness/installation/installation.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Type-checks an example of this repository as a user's program: with the installed packages, and with the declarations
 * of libraries.
 *
 * @returns The compiler's messages; empty if there are none.
 */
export async function checkTypes({ directory }: Installation, example: string): Promise<string> {
  await cp(path.join(root, 'examples', example), path.join(directory, example));
  const project = path.join(directory, 'tsconfig.json');
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'es2024',
    lib: ['es2024', 'esnext'],
    types: ['node'],
    typeRoots: [path.join(root, 'node_modules', '@types')],
  };
  await writeFile(project, JSON.stringify({ compilerOptions, files: [example] }));
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // The compiler reports on its standard output.
  return spawnSync(process.execPath, [compiler, '-p', project], { encoding: 'utf8' }).stdout;
}
